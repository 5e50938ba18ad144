// Begins the next image while the end of one is compressed: an engine prepares the whole image
// before it writes the first byte.
import type { ImageTar } from '../../image/source.ts'
import { endChildren, keepOutput } from '../../io/child.ts'

/** A tar that the source is already preparing. */
export interface BegunTar extends ImageTar {
  /** Ends the source's work, if the tar was not opened. */
  readonly end: () => Promise<void>
}

/** @returns a tar that is opened already */
export function beginTar(tar: ImageTar): BegunTar {
  const { tar: stdout, child } = tar.open()
  let begun: ReturnType<ImageTar['open']> | undefined = { tar: keepOutput({ stdout }), child }
  // A failure before the tar is opened is ignored: opening it starts a new save.
  child?.exited.catch(() => (begun = undefined))
  return {
    ...tar,
    open() {
      const opened = begun ?? tar.open()
      begun = undefined
      return opened
    },
    async end() {
      if (begun && child) await endChildren([child])
    },
  }
}

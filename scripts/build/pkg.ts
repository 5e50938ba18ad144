// Makes an executable from bundle and runtime, with pkg in its SEA mode (single executable
// application). The runtime is the official Node, the bundle is a section of that file, and
// nothing is unpacked when it runs.
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { ToolError } from '../../lib/core/errors.ts'
import { runTool } from './child.ts'
import type { Runtime } from './runtime.ts'

/**
 * Puts the runtimes into pkg's cache of downloads, so that pkg downloads nothing; see
 * getNodejsExecutable in its lib-es5/sea.js.
 * @param home - an empty directory, which becomes pkg's HOME
 * @param runtimes - the runtimes; their files are moved
 */
export async function prepareHome(home: string, runtimes: readonly Runtime[]): Promise<void> {
  for (const { version, architecture, file } of runtimes) {
    const name = `node-v${version}-linux-${architecture}`
    const cache = join(home, '.pkg-cache/sea')
    const bin = join(cache, name, 'bin')
    await mkdir(bin, { recursive: true })
    await rename(file, join(bin, 'node'))
    const markers = [join(bin, 'node.ok'), join(cache, `${name}.tar.gz`)]
    for (const marker of [...markers, join(cache, `${name}.tar.gz.ok`)]) await writeFile(marker, '')
  }
}

/** Where to make an executable. */
export interface MakeOptions {
  /** The directory that {@link prepareHome} has prepared. */
  readonly home: string
  /** An existing directory; the executable is made in a new directory in it. */
  readonly dir: string
  readonly signal: AbortSignal
}

const NAME = 'dgx-offline-images'

/**
 * @param code - a program as one CommonJS file
 * @returns the path of the executable: the runtime with that program in it
 * @throws IO_FAILED if pkg fails; INTERRUPTED if the signal is aborted
 */
export async function makeExecutable(
  code: string,
  { version, architecture }: Runtime,
  { home, dir, signal }: MakeOptions,
): Promise<string> {
  const work = join(dir, `work-${architecture}`)
  await mkdir(work)
  await writeFile(join(work, `${NAME}.cjs`), code)
  const runPkg = fileURLToPath(new URL('run-pkg.ts', import.meta.url))
  await runTool(process.execPath, [runPkg, NAME, version, architecture], {
    cwd: work,
    env: { HOME: home, TMPDIR: work, NODE_OPTIONS: '' },
    signal,
    toError: (text) =>
      new ToolError('IO_FAILED', `make the executables for ${architecture}: pkg: ${text.trim()}`),
  })
  return join(work, NAME)
}

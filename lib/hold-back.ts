// The end of a stream is kept until all of it was found to be right: no engine
// takes a tar for whole without its last MiB, where manifest.json and its end are.
const HELD_BYTES = 1024 * 1024

/**
 * @param chunks - the bytes
 * @param prove - called when all were seen; what it throws keeps the last MiB back for good
 * @returns the same bytes, the last MiB of them once they are proven
 */
export async function* holdBack(
  chunks: AsyncIterable<Buffer>,
  prove: () => Promise<void>,
): AsyncGenerator<Buffer> {
  const held: Buffer[] = []
  let heldBytes = 0
  for await (const chunk of chunks) {
    held.push(chunk)
    heldBytes += chunk.length
    for (let [oldest] = held; oldest && heldBytes - oldest.length >= HELD_BYTES; [oldest] = held) {
      held.shift()
      heldBytes -= oldest.length
      yield oldest
    }
  }
  await prove()
  yield* held
}

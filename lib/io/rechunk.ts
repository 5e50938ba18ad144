// Cuts a stream into pieces of one size, whatever the size of its chunks. So the output
// that is made of a piece depends only on the bytes of the stream.

/**
 * @param sizeBytes - the size of each piece; the last one may be shorter
 * @returns the pieces, each in memory of its own; none if there are no bytes
 */
export async function* rechunk(
  chunks: AsyncIterable<Buffer>,
  sizeBytes: number,
): AsyncGenerator<Buffer> {
  let piece: Buffer | undefined
  let filledBytes = 0
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      // The system gives memory only as it is written to, so a large piece with few bytes
      // takes little.
      piece ??= Buffer.allocUnsafeSlow(sizeBytes)
      const copiedBytes = chunk.copy(piece, filledBytes, at)
      filledBytes += copiedBytes
      at += copiedBytes
      if (filledBytes < sizeBytes) continue
      yield piece
      piece = undefined
      filledBytes = 0
    }
  }
  if (piece) yield piece.subarray(0, filledBytes)
}

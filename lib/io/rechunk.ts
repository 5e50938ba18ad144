// A stream's bytes in pieces of one size, however they come: so what is made of a
// piece depends on nothing but what is in it.

/**
 * @param sizeBytes - of each piece but the last, which may be shorter
 * @returns the pieces, each in memory of its own; none where there are no bytes
 */
export async function* rechunk(
  chunks: AsyncIterable<Buffer>,
  sizeBytes: number,
): AsyncGenerator<Buffer> {
  let piece: Buffer | undefined
  let filledBytes = 0
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      // Memory that is not written to is not taken, however large the piece may be.
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

// The bytes that compressed content begins with: what it is, its first bytes tell,
// whatever its name or its media type says.

/** The first bytes of each. */
export const MAGIC = {
  gzip: Buffer.from('1f8b', 'hex'),
  /** Of gzip with its only method, deflate. */
  deflate: Buffer.from('1f8b08', 'hex'),
  bzip2: Buffer.from('BZh'),
  xz: Buffer.from('fd377a585a00', 'hex'),
  zstd: Buffer.from('28b52ffd', 'hex'),
} as const

/** As many bytes as tell each of them. */
export const MAGIC_BYTES = MAGIC.xz.length

/** @returns whether bytes begin so. */
export function startsWith(bytes: Buffer, magic: Buffer): boolean {
  return bytes.subarray(0, magic.length).equals(magic)
}

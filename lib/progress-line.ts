// The line that moves while an image is read or written.
import type { Notice } from './core/outcome.ts'
import { formatBytes, formatShort } from './core/format.ts'
import { visible } from './core/visible-text.ts'

/**
 * @param progress - how far it is
 * @param elapsedMs - since its first byte
 * @returns bytes of tar, rate, compression ratio so far, share and time left
 */
export function formatProgress(
  progress: Extract<Notice, { type: 'progress' }>,
  elapsedMs: number,
): string {
  const { label, tarBytes, archiveBytes, share } = progress
  const rate = (tarBytes * 1000) / Math.max(1, elapsedMs)
  const parts = [formatBytes(tarBytes), `${formatBytes(rate)}/s`]
  if (tarBytes > 0) parts.push(`ratio ${(archiveBytes / tarBytes).toFixed(2)}`)
  if (share !== undefined && share > 0) {
    parts.push(`${Math.floor(share * 100)} %`)
    parts.push(`${formatShort((elapsedMs * (1 - share)) / share)} left`)
  }
  return `${visible(label)}  ${parts.join('  ')}`
}

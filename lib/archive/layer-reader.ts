// Layers out of archives, each read from its segment and compared with its digest.
import { createHash } from 'node:crypto'

import { ToolError } from '../core/errors.ts'
import { COPY_WRONG_METADATA } from '../core/hints.ts'
import type { IndexedLayer } from '../delivery/layer-index.ts'
import { toDigest } from '../image/digest.ts'
import { PartScan, type ScannedPart } from './part-scan.ts'
import { readThrough, type ReadingOptions } from './pipeline.ts'

/**
 * Reads layers out of archives.
 *
 * @throws MISMATCH or BAD_ARCHIVE where one is not what it should be
 */
export async function verifyLayers(
  layers: readonly IndexedLayer[],
  options: ReadingOptions,
): Promise<void> {
  const scan = new PartScan(layers.map(scanLayer))
  await readThrough({ parts: layers, scan, verify: async () => {} }, options)
}

/** @returns what compares a layer with its digest while it goes past; at its end it throws MISMATCH */
export function scanLayer(layer: IndexedLayer): ScannedPart {
  const hash = createHash('sha256')
  return {
    sizeBytes: layer.sizeBytes,
    write(bytes) {
      hash.update(bytes)
      return [bytes]
    },
    end() {
      const got = toDigest(hash.digest('hex'))
      if (got !== layer.digest) throw mismatchError(layer, got)
      return []
    },
  }
}

function mismatchError({ archive, digest }: IndexedLayer, got: string): ToolError {
  return new ToolError('MISMATCH', `check a layer in "${archive}": got ${got}, want ${digest}`, {
    hint: COPY_WRONG_METADATA,
  })
}

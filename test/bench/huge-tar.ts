// The tar of an image whose one layer is larger than a plain tar header can
// say. Its zeros are a hole in the file: on disk it takes some kilobytes.
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'

import { ARCHITECTURE } from '../fixtures/sample-images.ts'
import { tar, tarHeader } from '../fixtures/tar-builder.ts'

/**
 * Writes the tar of an image with one layer, which holds one file of zeros.
 * @param path - the tar to write
 * @param reference - the image's name
 * @param zeroBytes - size of that file; rounded to whole blocks
 */
export async function writeHugeTar(
  path: string,
  reference: string,
  zeroBytes: number,
): Promise<void> {
  const sizeBytes = Math.round(zeroBytes / 512) * 512
  const file = tarHeader({ path: 'zeros', sizeBytes, format: 'pax' })
  const layerBytes = file.length + sizeBytes + END_BYTES
  const layer = tarHeader({ path: 'layer.tar', sizeBytes: layerBytes, format: 'pax' })
  const endBytes = layer.length + layerBytes
  const handle = await open(path, 'wx')
  try {
    await handle.write(Buffer.concat([layer, file]), 0, undefined, 0)
    await handle.truncate(endBytes)
    const diffId = await digest(path, layer.length, endBytes)
    await handle.write(describeImage(reference, diffId), 0, undefined, endBytes)
  } finally {
    await handle.close()
  }
}

// Two zero blocks end a tar.
const END_BYTES = 1024

async function digest(path: string, startBytes: number, endBytes: number): Promise<string> {
  const hash = createHash('sha256')
  const range = { start: startBytes, end: endBytes - 1, highWaterMark: 1024 * 1024 }
  await pipeline(createReadStream(path, range), hash)
  return `sha256:${hash.digest('hex')}`
}

/** @returns config and archive manifest, and the tar's end. */
function describeImage(reference: string, diffId: string): Buffer {
  const config = JSON.stringify({
    architecture: ARCHITECTURE,
    os: 'linux',
    created: '2024-05-01T12:00:00Z',
    config: {},
    rootfs: { type: 'layers', diff_ids: [diffId] },
  })
  const configPath = `${createHash('sha256').update(config).digest('hex')}.json`
  const manifest = [{ Config: configPath, RepoTags: [reference], Layers: ['layer.tar'] }]
  return tar([
    { path: configPath, content: config },
    { path: 'manifest.json', content: JSON.stringify(manifest) },
  ])
}

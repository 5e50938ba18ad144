import { appendFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { Catalog } from '../../../lib/delivery/catalog.ts'
import { readSegment, type IndexedLayer } from '../../../lib/delivery/layer-index.ts'
import { archiveAt } from '../../../lib/io/archive-file.ts'
import { LAYERS, carryLayers, xzCoding } from '../../fixtures/archive-writing.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { readAllMetadata, readLayers } from '../../fixtures/directory-reading.ts'
import { sh } from '../../fixtures/run.ts'

t.test('layers: each with the archive that holds it', async (t) => {
  const dir = await carryLayers(t)
  const held = await readLayers([dir, join(dir, 'none')])
  t.match(
    held,
    LAYERS.map((layer, level) => ({
      digest: sha256(layer),
      sizeBytes: layer.length,
      archive: join(dir, `${level}.tar.xz`),
      coding: xzCoding(level),
    })),
  )
  for (const [index, layer] of held.entries()) {
    t.equal(hexOf(sha256(await bytesOf(layer))), layer.segment.sha256)
    const tar = await sh('xz -dc | sha256sum | cut -c-64', { input: await bytesOf(layer) })
    t.equal(`sha256:${tar}`, sha256(LAYERS[index] ?? ''))
  }
})

t.test('layers: not of archives that are gone, or of another size', async (t) => {
  const dir = await carryLayers(t)
  await rm(join(dir, '0.tar.xz'))
  await appendFile(join(dir, '1.tar.xz'), 'x')
  t.strictSame(await readLayers([dir]), [])
  t.equal((await readAllMetadata(dir)).length, 2)
})

t.test('layers: an archive is looked at once, and again if the run has changed it', async (t) => {
  const dir = await carryLayers(t)
  const catalog = new Catalog(dir)
  const found = await catalog.layers()
  t.equal(found.length, 2)
  await rm(join(dir, '0.tar.xz'))
  await rm(join(dir, '1.tar.xz'))
  t.equal(await catalog.layers(), found)
  catalog.noteUnknown('0.tar.xz')
  t.match(await catalog.layers(), [{ archive: join(dir, '1.tar.xz') }])
  catalog.noteRemoved('1.tar.xz')
  t.strictSame(await catalog.layers(), [])
})

t.test('layers: what cannot be used is told at each call', async (t) => {
  const dir = await carryLayers(t)
  await appendFile(join(dir, '1.tar.xz'), 'x')
  await writeFile(join(dir, '2.tar.xz.json'), '{')
  const catalog = new Catalog(dir)
  for (let n = 0; n < 2; n++) {
    const told: string[] = []
    t.equal((await catalog.layers((text) => told.push(text))).length, 1)
    t.match(told, [/1\.tar\.xz": size: got /, /2\.tar\.xz\.json": not JSON/])
  }
})

t.test('layers: more than can be indexed are not used, and this is told', async (t) => {
  const dir = await carryLayers(t)
  const catalog = new Catalog(dir, { maxLayers: 1 })
  const told: string[] = []
  t.match(await catalog.layers((text) => told.push(text)), [{ archive: join(dir, '0.tar.xz') }])
  const archive = join(dir, '1.tar.xz')
  t.strictSame(told, [`in "${dir}": more than 1 layers; those of "${archive}" are not used`])
})

t.test('readSegment: what is not as saved is told at its end', async (t) => {
  const path = join(t.testdir({}), 'a')
  await writeFile(path, '0123456789')
  const segment = { offsetBytes: 3, sizeBytes: 4, tarOffsetBytes: 0, tarSizeBytes: 1 }
  const read = (sizeBytes: number, content: string): Promise<Buffer> =>
    bytesOf({ archive: path, segment: { ...segment, sizeBytes, sha256: hexOf(sha256(content)) } })
  t.equal((await read(4, '3456')).toString(), '3456')
  t.equal((await read(1, '3')).toString(), '3')
  t.equal((await read(0, '')).toString(), '')
  await t.rejects(read(4, '3457'), {
    code: 'MISMATCH',
    message: `check "${path}", 4 bytes at 3: sha256: got ${hexOf(sha256('3456'))}, want ${hexOf(sha256('3457'))}`,
  })
  await t.rejects(read(8, '3456789x'), { code: 'MISMATCH' })
  await rm(path)
  await t.rejects(read(4, '3456'), { code: 'ENOENT' })
})

async function bytesOf({
  archive,
  segment,
}: Pick<IndexedLayer, 'archive' | 'segment'>): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of readSegment(archiveAt(archive), segment)) parts.push(part)
  return Buffer.concat(parts)
}

import { appendFile, mkdir, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { formatMetadata } from '../../../lib/delivery/metadata.ts'
import {
  checkIndexed,
  findIndexed,
  readLayerIndex,
  readAllMetadata,
  readSegment,
  type IndexedLayer,
} from '../../../lib/delivery/layer-index.ts'
import { dockerArchive } from '../../fixtures/archive-builder.ts'
import { write, xzCoding } from '../../fixtures/archive-writing.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { sh } from '../../fixtures/run.ts'
import { SAMPLE_RECORD } from '../../fixtures/sample-record.ts'

const MIB = 1024 * 1024
const LAYERS = ['a', 'b'].map((letter) => Buffer.alloc(MIB, letter))

/** Archives of one layer each, of which the second is of another level. */
async function carry(t: Test): Promise<string> {
  const dir = t.testdir({ more: {} })
  for (const [index, layer] of LAYERS.entries()) {
    const { archive } = dockerArchive({ layers: [layer], tags: [], layout: 'oci' })
    await write(join(dir, `${index}.tar.xz`), archive, { coding: xzCoding(index) })
  }
  await mkdir(join(dir, 'none'))
  return dir
}

t.test('readRecords: those that can be read, in the order of their names', async (t) => {
  const metadata = formatMetadata(SAMPLE_RECORD)
  const dir = t.testdir({
    'b.tar.xz.json': metadata,
    'a.tar.xz.json': metadata,
    'bad.tar.xz.json': '{}',
    'newer.tar.xz.json': '{"schema":2}',
    'dir.tar.xz.json': {},
    'other.json': metadata,
    'c.tar.xz': '',
    SHA256SUMS: '',
  })
  t.strictSame(await readAllMetadata(dir), [
    { metadata: SAMPLE_RECORD, archive: join(dir, 'a.tar.xz') },
    { metadata: SAMPLE_RECORD, archive: join(dir, 'b.tar.xz') },
  ])
})

t.test('readRecords: a directory that is not there', async (t) => {
  const dir = join(t.testdir({ file: '' }), 'none')
  for (const path of [dir, join(dir, '..', 'file')]) {
    await t.rejects(readAllMetadata(path), {
      code: 'NO_DIRECTORY',
      message: `directory not found: "${path}"`,
    })
  }
})

t.test('readHeldLayers: each with the archive that holds it', async (t) => {
  const dir = await carry(t)
  const held = await readLayerIndex([dir, join(dir, 'none'), dir, `${dir}/.`])
  t.match(
    held,
    LAYERS.map((layer, level) => ({
      digest: sha256(layer),
      sizeBytes: layer.length,
      archive: join(dir, `${level}.tar.xz`),
      coding: xzCoding(level),
    })),
  )
  t.equal(held.length, 2, 'a directory that is named twice is looked at once')
  for (const [index, layer] of held.entries()) {
    t.equal(hexOf(sha256(await bytesOf(layer))), layer.segment.sha256)
    const tar = await sh('xz -dc | sha256sum | cut -c-64', { input: await bytesOf(layer) })
    t.equal(`sha256:${tar}`, sha256(LAYERS[index] ?? ''))
  }
})

t.test('readHeldLayers: not of archives that are gone, or of another size', async (t) => {
  const dir = await carry(t)
  await rm(join(dir, '0.tar.xz'))
  await appendFile(join(dir, '1.tar.xz'), 'x')
  t.strictSame(await readLayerIndex([dir]), [])
  t.equal((await readAllMetadata(dir)).length, 2)
})

t.test('checkReusable: tells of what cannot be used, unless nothing is to be reused', async (t) => {
  const dir = await carry(t)
  await appendFile(join(dir, '1.tar.xz'), 'x')
  await writeFile(join(dir, '2.tar.xz.json'), '{')
  await rm(join(dir, '0.tar.xz'))
  await symlink('0.tar.xz', join(dir, '0.tar.xz'))
  const told: string[] = []
  for (const force of [true, false]) {
    await checkIndexed({ reuse: [dir], force }, (text) => told.push(text))
    t.equal(told.length, force ? 0 : 3)
  }
  t.match(told.toSorted(), [
    /^".*1\.tar\.xz": size: got /,
    /^in ".*2\.tar\.xz\.json": not JSON/,
    /^read ".*0\.tar\.xz": got a symbolic link, .*; its layers are not used$/,
  ])
})

// what is asked for, the layers that are found
const WANTED: [string, object, number[]][] = [
  ['level 0', { coding: xzCoding(0) }, [0]],
  ['level 1', { coding: xzCoding(1) }, [1]],
  ['level 2', { coding: xzCoding(2) }, []],
  ['everything anew', { coding: xzCoding(0), force: true }, []],
]

for (const [what, wanted, want] of WANTED) {
  t.test(`findReusable: ${what}`, async (t) => {
    const dir = await carry(t)
    for (const [own, reuse] of [
      [dir, []],
      [join(dir, 'none'), [dir]],
      [dir, [join(dir, 'none')]],
      [join(dir, 'none'), [join(dir, 'none'), dir]],
    ] as const) {
      const found = await findIndexed({
        dir: own,
        reuse,
        coding: xzCoding(0),
        force: false,
        ...wanted,
      })
      t.strictSame(
        found.map(({ digest }) => digest),
        want.map((index) => sha256(LAYERS[index] ?? '')),
      )
    }
  })
}

t.test('findReusable: a directory that was named has to be there', async (t) => {
  const dir = t.testdir({})
  const options = { dir, reuse: [join(dir, 'none')], coding: xzCoding(0), force: false }
  await t.rejects(findIndexed(options), { code: 'NO_DIRECTORY' })
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
  for await (const part of readSegment(archive, segment)) parts.push(part)
  return Buffer.concat(parts)
}

t.test('readRecords: a directory that holds nothing', async (t) => {
  const dir = t.testdir({})
  t.strictSame(
    [await readAllMetadata(dir), await readLayerIndex([dir]), await readLayerIndex([])],
    [[], [], []],
  )
})

t.test('readRecords: a huge one is passed over, what is no failure is thrown', async (t) => {
  const dir = t.testdir({ 'huge.tar.xz.json': '' })
  await truncate(join(dir, 'huge.tar.xz.json'), 3 * 1024 ** 3)
  const warnings: string[] = []
  t.strictSame(await readAllMetadata(dir, (text) => void warnings.push(text)), [])
  t.match(warnings, [/huge\.tar\.xz\.json": size: got 3221225472 bytes/])
  const broken = readAllMetadata(
    dir,
    () => {},
    async () => Promise.reject(new Error('a bug')),
  )
  await t.rejects(broken, { message: 'a bug' })
})

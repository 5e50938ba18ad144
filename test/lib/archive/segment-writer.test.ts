import { mkdtemp, open, readFile, rm, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'

import { MatchFailed } from '../../../lib/archive/layer-match.ts'
import { SegmentWriter } from '../../../lib/archive/segment-writer.ts'
import type { IndexedLayer } from '../../../lib/delivery/layer-index.ts'
import { withChildren } from '../../../lib/io/child.ts'
import type { Task } from '../../../lib/io/task.ts'
import { readers, xzCoding } from '../../fixtures/archive-writing.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { wrapCommand } from '../../fixtures/faults.ts'
import { sh } from '../../fixtures/run.ts'
import { pseudoRandom } from '../../fixtures/sample-layers.ts'
import { chunked } from '../../fixtures/tar-builder.ts'

const NEVER = new AbortController().signal
const MIB = 1024 * 1024
const XZ = { name: 'xz', version: '5.4.1' } as const
const COMPRESSORS = [XZ, { name: 'pixz', version: '1.0.7' }] as const
const OPTIONS = {
  compressor: XZ,
  decompressors: readers(),
  verified: new Set<string>(),
  coding: xzCoding(0),
  signal: new AbortController().signal,
}

interface Opened {
  readonly path: string
  readonly handle: FileHandle
  readonly children: Task[]
}

/** Another directory at each call, other than tap's own. */
async function newDir(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'segment-writer-'))
  t.teardown(() => rm(dir, { recursive: true }))
  return dir
}

async function openFile(t: Test): Promise<Opened> {
  const path = join(await newDir(t), 'a.tar.xz')
  const handle = await open(path, 'wx')
  t.teardown(() => handle.close())
  return { path, handle, children: [] }
}

async function writeSegments(writer: SegmentWriter, parts: readonly Buffer[], chunkBytes = MIB) {
  for (const part of parts) {
    const segment = await writer.begin(part.length)
    for (const chunk of chunked(part, chunkBytes)) await segment.write(chunk)
    await segment.close()
  }
  return writer.finish()
}

/** Puts a script in place of xz until the test ends. */
async function replaceXz(t: Test, script: string): Promise<void> {
  const before = process.env['PATH']
  const { PATH } = await wrapCommand(join(await newDir(t), 'bin'), 'xz', script)
  process.env['PATH'] = PATH
  t.teardown(() => (process.env['PATH'] = before))
}

async function checkEnded(t: Test, children: readonly Task[]): Promise<void> {
  const ended = children.map((child) => child.exited.catch(() => {}))
  await Promise.all(ended)
  t.pass(`${children.length} children have ended`)
}

const PARTS = [0, 1, 511, 512, 513, MIB + 1, 0, 20, 200_000].map((bytes, n) =>
  pseudoRandom(`part ${n}`, bytes),
)

for (const compressor of COMPRESSORS) {
  for (const threads of [undefined, 1, 5]) {
    const title = `${compressor.name} with ${threads ?? 'all'} threads`
    t.test(`SegmentWriter: ${title}: each segment stands for itself`, async (t) => {
      const { path, handle, children } = await openFile(t)
      const writer = new SegmentWriter(handle, children, { ...OPTIONS, compressor, threads })
      const written = await writeSegments(writer, PARTS)
      const archive = await readFile(path)
      t.strictSame([written.sizeBytes, written.sizeBytes], [archive.length, writer.sizeBytes])
      t.equal(written.sha256, hexOf(sha256(archive)))
      let offsetBytes = 0
      let tarOffsetBytes = 0
      for (const [index, part] of PARTS.entries()) {
        const segment = written.segments[index]
        t.match(segment, { offsetBytes, tarOffsetBytes, tarSizeBytes: part.length })
        const bytes = archive.subarray(offsetBytes, offsetBytes + (segment?.sizeBytes ?? 0))
        t.equal(segment?.sha256, hexOf(sha256(bytes)))
        t.equal(await sh('xz -dc | sha256sum | cut -c-64', { input: bytes }), hexOf(sha256(part)))
        offsetBytes += bytes.length
        tarOffsetBytes += part.length
      }
      t.equal(offsetBytes, archive.length, 'and there is nothing else')
      const want = hexOf(sha256(Buffer.concat(PARTS)))
      for (const command of ['xz -dc', 'pixz -d', 'pixz -d -p 1', 'xz -dc -T3']) {
        t.equal(await sh(`${command} | sha256sum | cut -c-64`, { input: archive }), want, command)
      }
      await checkEnded(t, children)
    })
  }
}

t.test('SegmentWriter: the same bytes, however they come', async (t) => {
  const archives = [1, 1000, MIB].map(async (chunkBytes) => {
    const { path, handle, children } = await openFile(t)
    const writer = new SegmentWriter(handle, children, { ...OPTIONS, threads: 2 })
    await writeSegments(writer, [PARTS[4] ?? Buffer.alloc(0), Buffer.from('x')], chunkBytes)
    return readFile(path)
  })
  const [first, ...others] = await Promise.all(archives)
  for (const other of others) t.ok(first?.equals(other))
})

// The first child of all is the slowest: the others have to wait for it.
t.test('SegmentWriter: the order stays, whichever child is done first', async (t) => {
  await replaceXz(t, 'read -n 1 first; sleep "0.$first"; { echo -n "$first"; cat; } | $real "$@"')
  const { path, handle, children } = await openFile(t)
  const writer = new SegmentWriter(handle, children, { ...OPTIONS, threads: 4 })
  const parts = ['9 slow', '0 fast', '3 third', '0 fourth', '1 last'].map((text) =>
    Buffer.from(text),
  )
  const { segments } = await writeSegments(writer, parts)
  t.strictSame(
    segments.map(({ tarSizeBytes }) => tarSizeBytes),
    parts.map((part) => part.length),
  )
  const archive = await readFile(path)
  t.equal(
    await sh('$SHELL_XZ -dc', { input: archive, env: { SHELL_XZ: '/usr/bin/xz' } }),
    parts.join(''),
  )
})

t.test('SegmentWriter: no more children at a time than are allowed', async (t) => {
  const dir = await newDir(t)
  const count = 'ls | grep -c run >> log'
  await replaceXz(t, `cd ${dir}; touch run$$; ${count}; $real "$@"; rm run$$`)
  const { handle, children } = await openFile(t)
  const writer = new SegmentWriter(handle, children, { ...OPTIONS, threads: 2 })
  await writeSegments(
    writer,
    Array.from({ length: 12 }, () => Buffer.from('x')),
  )
  const counts = (await readFile(join(dir, 'log'), 'utf8')).trim().split('\n').map(Number)
  t.equal(counts.length, 12)
  t.ok(Math.max(...counts) <= 4, `at most ${Math.max(...counts)}`)
})

// the codec, what reads it, and a compressor that does not write it
const STORED = [
  ['xz', 'xz -dc', { name: 'builtin', version: '1.5.7' }],
  ['zstd', 'zstd -dc', XZ],
] as const

for (const [codec, read, compressor] of STORED) {
  t.test(`begin: ${codec}: what is compressed already is stored as it is`, async (t) => {
    const layer = gzipSync(pseudoRandom('layer', 30_000))
    const { path, handle, children } = await openFile(t)
    const coding = codec === 'xz' ? xzCoding(6) : { codec, level: 8, windowLog: 27 }
    const options = { ...OPTIONS, compressor, coding, threads: 2 }
    const writer = new SegmentWriter(handle, children, options)
    const segment = await writer.begin(layer.length)
    for (const chunk of chunked(layer, 1)) await segment.write(chunk)
    await segment.close(sha256(layer))
    await writer.finish()
    const input = await readFile(path)
    t.ok(input.includes(layer.subarray(100, 1000)))
    t.equal(await sh(`${read} | sha256sum | cut -c-64`, { input }), hexOf(sha256(layer)))
  })
}

t.test('copy: takes a segment of another archive, digest and all', async (t) => {
  const source = await openFile(t)
  const options = { ...OPTIONS, threads: 2 }
  const old = await writeSegments(new SegmentWriter(source.handle, [], options), PARTS)
  const { path, handle, children } = await openFile(t)
  const writer = new SegmentWriter(handle, children, options)
  const [small, layer = Buffer.alloc(0)] = [PARTS[4] ?? Buffer.alloc(0), PARTS[5]]
  const segment = await writer.begin(undefined)
  await segment.write(small)
  await segment.close(sha256(small))
  writer.copy(heldLayer(source.path, old.segments, 5, layer))
  writer.copy(heldLayer(source.path, old.segments, 5, layer))
  const { segments } = await writer.finish()
  t.equal(children.length, 1, 'nothing was compressed for it')
  t.strictSame(
    segments.map(({ layerDigest, tarOffsetBytes }) => [layerDigest, tarOffsetBytes]),
    [
      [sha256(small), 0],
      [sha256(layer), small.length],
      [sha256(layer), small.length + layer.length],
    ],
  )
  t.equal(segments[1]?.sha256, old.segments[5]?.sha256)
  const want = hexOf(sha256(Buffer.concat([small, layer, layer])))
  t.equal(await sh('xz -dc | sha256sum | cut -c-64', { input: await readFile(path) }), want)
})

t.test('copy: what this run has written or read is verified, by its sha256', async (t) => {
  const source = await openFile(t)
  const options = { ...OPTIONS, threads: 2, verified: new Set<string>() }
  const layer = PARTS[5] ?? Buffer.alloc(0)
  const before = new SegmentWriter(source.handle, [], options)
  const segment = await before.begin(layer.length)
  await segment.write(layer)
  await segment.close(sha256(layer))
  const held = heldLayer(source.path, (await before.finish()).segments, 0, layer)
  // It reads no .xz: whoever asks it finds the archive damaged.
  const zstd = { name: 'zstd', version: '1.5.4' } as const
  const copy = async (verified: Set<string>): Promise<unknown> => {
    const { handle } = await openFile(t)
    const own = { ...options, decompressors: { xz: zstd, zstd }, verified }
    const writer = new SegmentWriter(handle, [], own)
    writer.copy(held)
    return writer.finish()
  }
  await t.resolves(copy(options.verified))
  await t.rejects(copy(new Set()), { message: /^reuse a layer of / })
})

// what is wrong with the other archive, what is done to it
const DAMAGES: [string, string][] = [
  ['has another byte', 'printf x | dd conv=notrunc status=none bs=1 seek=$((OFFSET + 5)) of="$ARCHIVE"'],
  ['is cut off', 'truncate -s "$OFFSET" "$ARCHIVE"'],
  ['is gone', 'rm "$ARCHIVE"'],
  ['is a directory', 'rm "$ARCHIVE"; mkdir "$ARCHIVE"'],
] // prettier-ignore

for (const [what, script] of DAMAGES) {
  t.test(`copy: another archive that ${what} is named, not to be trusted again`, async (t) => {
    const source = await openFile(t)
    const options = { ...OPTIONS, threads: 2 }
    const { segments } = await writeSegments(
      new SegmentWriter(source.handle, [], options),
      PARTS.slice(3, 6),
    )
    const held = heldLayer(source.path, segments, 2, PARTS[5] ?? Buffer.alloc(0))
    await sh(script, { env: { ARCHIVE: source.path, OFFSET: `${held.segment.offsetBytes}` } })
    const { handle } = await openFile(t)
    const writer = new SegmentWriter(handle, [], options)
    writer.copy(held)
    const message = `reuse a layer of "${source.path}": `
    await t.rejects(writer.failed, new MatchFailed(source.path, message))
    await t.rejects(writer.finish(), new MatchFailed(source.path, message))
  })
}

// what the compressor does, what is told
const DEATHS: [string, string][] = [
  ['read -rn 9 _; echo no memory >&2; exit 1', 'compress: xz: no memory'],
  ['kill -9 $$', 'compress: xz: it ended with SIGKILL'],
  ['while read -rn 9999 _; do :; done; echo late >&2; exit 1', 'compress: xz: late'],
  ['exec <&-; echo closed >&2; exit 1', 'compress: xz: closed'],
]

for (const [script, message] of DEATHS) {
  t.test(`begin: a compressor that dies is told, and none is left: ${script}`, async (t) => {
    await replaceXz(t, script)
    const { handle, children } = await openFile(t)
    const writer = new SegmentWriter(handle, children, { ...OPTIONS, threads: 2 })
    const parts = Array.from({ length: 9 }, (_, n) => pseudoRandom(`${n}`, 200_000))
    const feeding = writeSegments(writer, parts)
    const work = Promise.race([feeding, writer.failed])
    await t.rejects(withChildren(children, NEVER, work), { code: 'COMPRESSOR_FAILED', message })
    await t.rejects(feeding)
    await checkEnded(t, children)
  })
}

/** Files that are full: at once, in the middle, and while children wait for their turn. */
const FULL = [
  { afterBytes: 0, delayMs: 0 },
  { afterBytes: MIB, delayMs: 0 },
  { afterBytes: 0, delayMs: 700 },
]

for (const compressor of COMPRESSORS) {
  for (const { afterBytes, delayMs } of FULL) {
    const when = `after ${afterBytes} bytes and ${delayMs} ms`
    t.test(`SegmentWriter: ${compressor.name}: a disk that is full ${when}`, async (t) => {
      const { handle, children } = await openFile(t)
      let left = afterBytes
      handle.writeFile = async (chunk) => {
        await delay(delayMs)
        left -= Buffer.isBuffer(chunk) ? chunk.length : 0
        if (left < 0) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'write' })
      }
      const writer = new SegmentWriter(handle, children, { ...OPTIONS, compressor, threads: 2 })
      const parts = Array.from({ length: 9 }, (_, n) => pseudoRandom(`${n}`, MIB))
      const feeding = writeSegments(writer, parts)
      const work = Promise.race([feeding, writer.failed])
      await t.rejects(withChildren(children, NEVER, work), { code: 'ENOSPC' })
      await t.rejects(feeding)
      await checkEnded(t, children)
    })
  }
}

t.test('SegmentWriter: told to stop while children wait, ends all', async (t) => {
  const { handle, children } = await openFile(t)
  handle.writeFile = () => delay(1000)
  const writer = new SegmentWriter(handle, children, { ...OPTIONS, threads: 2 })
  // More than is kept of what a child writes: it cannot end before that is read.
  const parts = Array.from({ length: 3 }, (_, n) => pseudoRandom(`${n}`, 6 * MIB))
  const work = Promise.race([writeSegments(writer, parts), writer.failed])
  const controller = new AbortController()
  const ended = withChildren(children, controller.signal, work)
  while (children.length < 2) await Promise.race([ended, delay(10)])
  controller.abort()
  await t.rejects(ended, { code: 'INTERRUPTED' })
  await checkEnded(t, children)
})

function heldLayer(
  archive: string,
  segments: readonly IndexedLayer['segment'][],
  index: number,
  content: Buffer,
): IndexedLayer {
  const segment = segments[index]
  if (!segment) throw new Error(`no segment ${index}`)
  const layer = { digest: sha256(content), sizeBytes: content.length }
  return { ...layer, archive, coding: xzCoding(0), segment }
}

import { appendFileSync } from 'node:fs'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { compress, type CompressOptions } from '../../../lib/commands/compress.ts'
import type { Notice, Outcome } from '../../../lib/core/outcome.ts'
import { formatMetadata, parseMetadata } from '../../../lib/delivery/metadata.ts'
import { dockerArchive } from '../../fixtures/archive-builder.ts'
import { xzCoding } from '../../fixtures/archive-writing.ts'
import { sh } from '../../fixtures/run.ts'
import { tar } from '../../fixtures/tar-builder.ts'

const MIB = 1024 * 1024
const { signal } = new AbortController()

interface Given {
  readonly names: readonly string[]
  readonly reuse: readonly string[]
  readonly compression: CompressOptions['compression']
  readonly notify: (notice: Notice) => void
  readonly force: boolean
  readonly dryRun: boolean
}

async function run(dir: string, given: Partial<Given> = {}) {
  const notices: Notice[] = []
  const outcomes: Outcome[] = []
  const { names = [], reuse = [], force = false, dryRun = false } = given
  const { compression = { coding: xzCoding(0), compressor: 'xz' } } = given
  const options: CompressOptions = {
    names,
    dir,
    compression,
    layers: { verifyLayers: false, reuse },
    force,
    dryRun,
  }
  const { notify = (notice) => void notices.push(notice) } = given
  const context = { threads: 2, notify, signal }
  for await (const outcome of compress(options, context)) outcomes.push(outcome)
  return { outcomes, warnings: notices.filter(({ type }) => type === 'warning') }
}

/** A directory with a tar of one layer, whose name does not tell its digest. */
function withLayer(t: Test, letter: string): string {
  const layers = [Buffer.alloc(MIB, letter)]
  const { archive } = dockerArchive({ layers, tags: ['a:1'], layout: 'legacy' })
  return t.testdir({ 'one.tar': archive })
}

t.test('compress: another layer of the size of one that is known', async (t) => {
  const dir = withLayer(t, 'a')
  t.match((await run(dir)).outcomes, [{ result: 'compressed' }])
  const { archive } = dockerArchive({
    layers: [Buffer.alloc(MIB, 'b')],
    tags: ['b:1'],
    layout: 'legacy',
  })
  await writeFile(join(dir, 'two.tar'), archive)
  const { outcomes, warnings } = await run(dir)
  t.match(outcomes, [{ result: 'up to date' }, { result: 'compressed', reusedBytes: undefined }])
  t.match(warnings, [{ text: /has the size of a layer that is known, but is another; it is read/ }])
})

t.test('compress: what would be done, and that nothing is', async (t) => {
  const dir = withLayer(t, 'a')
  t.match((await run(dir, { dryRun: true })).outcomes, [{ result: 'would be compressed' }])
  t.match((await run(dir)).outcomes, [{ result: 'compressed' }])
  await rm(join(dir, 'SHA256SUMS'))
  t.match((await run(dir, { dryRun: true, reuse: [dir] })).outcomes, [{ result: 'up to date' }])
  await t.rejects(rm(join(dir, 'SHA256SUMS')), { code: 'ENOENT' })
})

t.test('compress: one archive of a tar, whatever its format', async (t) => {
  const dir = t.testdir({ 'plain.tar': tar([{ path: 'a', content: 'a' }]) })
  const [first] = (await run(dir)).outcomes
  t.match(first, { result: 'compressed', notes: [/^not a saved image/] })
  const coding = { codec: 'zstd', level: 1, windowLog: 20 } as const
  const [other] = (await run(dir, { compression: { coding, compressor: 'builtin' } })).outcomes
  t.match(other?.notes, [/^not a saved image/, 'it takes the place of plain.tar.xz'])
})

const BAD: [string, readonly string[], string][] = [
  ['no tar at all', [], 'NO_ARCHIVE'],
  ['a name that is not that of a tar', ['a.txt'], 'USAGE'],
  ['two of one name', ['a.tar', 'sub/a.tar'], 'NAME_CLASH'],
]

for (const [what, names, code] of BAD) {
  t.test(`compress: ${what}`, async (t) => {
    await t.rejects(run(t.testdir({}), { names }), { code })
  })
}

t.test('compress: a tar that is not there does not stop the others', async (t) => {
  const dir = withLayer(t, 'a')
  const names = [join(dir, 'none.tar'), join(dir, 'one.tar')]
  const { outcomes } = await run(dir, { names })
  t.match(outcomes, [
    { result: 'failed', error: { code: 'NO_ARCHIVE' } },
    { result: 'compressed', archive: 'one.tar.xz' },
  ])
})

// what there is under the name of a tar, the shell's way to make it, and what is said of
// it where it is named, and where it is found
const NO_FILES: [string, string, RegExp | undefined, RegExp][] = [
  ['a pipe', 'mkfifo one.tar', /one.tar": not a file$/, /one.tar" is passed over: not a f/],
  ['a device', 'mknod one.tar c 1 5', /one.tar": not a file$/, /passed over: not a file$/],
  ['a directory', 'mkdir one.tar', /one.tar": not a file$/, /passed over: not a file$/],
  ['a link', 'mv two.tar to; ln -s to one.tar', undefined, /over: it is a symbolic link; name it/],
  ['a link to a pipe', 'mkfifo to; ln -s to one.tar', /one.tar": not a file$/, /symbolic link/],
  ['a link to nothing', 'ln -s to one.tar', /file not found$/, /symbolic link/],
]

for (const [what, make, refusal, warning] of NO_FILES) {
  t.test(`compress: ${what} is taken only where it is named and leads to a file`, async (t) => {
    const dir = withLayer(t, 'a')
    await sh(`cp one.tar two.tar; mv one.tar last.tar; ${make}`, { cwd: dir })
    const found = await run(dir)
    t.match(
      found.outcomes.map(({ archive, result }) => [archive, result]),
      [['last.tar.xz', 'compressed']],
    )
    t.match(found.warnings, [{ text: warning }])
    const named = await run(dir, { names: [join(dir, 'one.tar')] })
    t.match(named.outcomes, [
      refusal ? { result: 'failed', error: { message: refusal } } : { result: 'compressed' },
    ])
    t.strictSame(named.warnings, [])
  })
}

t.test('compress: no tar that is a file', async (t) => {
  const dir = t.testdir({})
  await sh('mkfifo one.tar', { cwd: dir })
  await t.rejects(run(dir), { code: 'NO_ARCHIVE' })
})

t.test('compress: a name that no metadata may have is refused, the others done', async (t) => {
  const dir = withLayer(t, 'a')
  await sh("mv one.tar two.tar; touch 'o\\ne.tar'; echo >._two.tar", { cwd: dir })
  t.match((await run(dir)).outcomes, [
    { result: 'failed', error: { message: /its name has a backslash$/ } },
    { result: 'compressed', archive: 'two.tar.xz' },
  ])
})

t.test('compress: a time that no date can hold is not saved', async (t) => {
  // A file system in memory takes any.
  const dir = await mkdtemp('/dev/shm/compress-')
  t.teardown(() => rm(dir, { recursive: true }))
  await writeFile(join(dir, 'one.tar'), tar([{ path: 'a', content: 'a' }]))
  await sh('touch -d @10000000000000 one.tar', { cwd: dir })
  for (let time = 1; time <= 2; time++) {
    t.match((await run(dir)).outcomes, [{ result: 'compressed' }], `time ${time}`)
  }
})

t.test('compress: the archive that was saved of an image is not replaced unasked', async (t) => {
  const dir = withLayer(t, 'a')
  await run(dir)
  const file = join(dir, 'one.tar.xz.json')
  const metadata = parseMetadata(await readFile(file, 'utf8'), file)
  const [image] = metadata.images
  if (!image) throw new Error('no image')
  await writeFile(file, formatMetadata({ ...metadata, images: [{ ...image, reference: 'a:1' }] }))
  appendFileSync(join(dir, 'one.tar'), Buffer.alloc(512))
  for (const dryRun of [true, false]) {
    t.match((await run(dir, { dryRun })).outcomes, [
      {
        result: 'failed',
        error: { code: 'NAME_CLASH', message: /it holds "a:1", which was saved$/ },
      },
    ])
  }
  t.match((await run(dir, { force: true })).outcomes, [{ result: 'compressed' }])
})

t.test('compress: a tar that grows while it is read', async (t) => {
  const dir = withLayer(t, 'a')
  const notify = ({ type }: Notice): void => {
    if (type === 'step') appendFileSync(join(dir, 'one.tar'), Buffer.alloc(512))
  }
  const { outcomes } = await run(dir, { notify })
  t.match(outcomes, [{ result: 'failed', error: { code: 'BAD_TAR', message: /size: got/ } }])
  t.strictSame(await readdir(dir), ['one.tar'])
})

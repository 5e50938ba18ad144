import { readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { forget, type ForgetOptions } from '../../../lib/commands/forget.ts'
import type { Outcome } from '../../../lib/core/outcome.ts'
import { placeMetadata } from '../../../lib/delivery/commit.ts'
import { Directory } from '../../../lib/delivery/directory.ts'
import { formatMetadata, type ArchiveMetadata } from '../../../lib/delivery/metadata.ts'
import { sha256 } from '../../fixtures/digest.ts'
import { sh } from '../../fixtures/run.ts'
import { recordOfBytes } from '../../fixtures/sample-record.ts'
import { snapshot } from '../../fixtures/workbench.ts'

const NAME = 'registry.example/tool:1.0'
const STEM = 'registry.example_tool-1.0'
const LAYER = sha256('layer')
const REQUIRES = [{ digest: LAYER, sizeBytes: 1, path: 'layer.tar', archive: `${STEM}.tar.xz` }]

/** The metadata of an archive of an image, without a name where a tar was compressed. */
function recordOf(
  file: string,
  reference?: string,
  more?: Partial<ArchiveMetadata>,
): ArchiveMetadata {
  const metadata = recordOfBytes(file, file)
  const images = metadata.images.map((image) => {
    const { reference: before, ...rest } = image
    return { ...rest, ...(reference !== undefined && before !== undefined && { reference }) }
  })
  return { ...metadata, images, ...more }
}

function holding(metadata: ArchiveMetadata): ArchiveMetadata {
  const segments = metadata.segments.map((segment) => ({ ...segment, layerDigest: LAYER }))
  return { ...metadata, segments }
}

/** A delivery of archives with these metadata. */
async function deliver(t: Test, ...metadata: readonly ArchiveMetadata[]): Promise<string> {
  const dir = t.testdir({})
  for (const each of metadata) {
    const archive = join(dir, each.archive.file)
    await writeFile(archive, each.archive.file)
    await placeMetadata(new Directory(dir), each)
  }
  return dir
}

async function run(dir: string, images: readonly string[], more: Partial<ForgetOptions> = {}) {
  const outcomes: Outcome[] = []
  const { signal } = new AbortController()
  const shared = { names: [], program: 'test', force: false, dryRun: false, notify: () => {} }
  for await (const outcome of forget({ ...shared, dir, images, signal, ...more })) {
    outcomes.push(outcome)
  }
  return outcomes
}

const OTHER = recordOf('other-1.0.tar.xz', 'other:1.0')

t.test('forget: all archives of an image, in every format, and increments', async (t) => {
  const names = ['tar.xz', 'tar.zst', 'increment.tar.xz', 'increment.tar.zst']
  const metadata = names.map((ending) =>
    recordOf(`${STEM}.${ending}`, NAME, ending.startsWith('inc') ? { requires: [] } : {}),
  )
  const dir = await deliver(t, ...metadata, OTHER)
  const before = await snapshot(dir)
  const want = {
    image: NAME,
    archive: `${STEM}.tar.xz`,
    notes: names.map((end) => `${STEM}.${end}`),
  }
  t.match(await run(dir, [NAME], { dryRun: true }), [{ ...want, result: 'would be forgotten' }])
  t.strictSame(await snapshot(dir), before)
  t.match(await run(dir, [NAME]), [{ ...want, result: 'forgotten' }])
  t.strictSame((await readdir(dir)).toSorted(), [
    'SHA256SUMS',
    'other-1.0.tar.xz',
    'other-1.0.tar.xz.json',
  ])
  await t.resolves(sh('sha256sum --strict -c SHA256SUMS', { cwd: dir }))
  t.match(await run(dir, ['other:1.0']), [{ result: 'forgotten' }])
  t.strictSame(await readdir(dir), [], 'an empty list would be a fault')
})

t.test('forget: what is not there, and what only some of is', async (t) => {
  const dir = await deliver(t, recordOf(`${STEM}.tar.xz`, NAME), OTHER)
  t.match(await run(dir, ['none:1', 'a.tar', 'b.tar.zst']), [
    {
      result: 'failed',
      error: { code: 'NO_ARCHIVE', message: `forget "none:1": "${dir}" has no archive of it` },
    },
    { error: { code: 'NO_ARCHIVE' } },
    { error: { code: 'NO_ARCHIVE' } },
  ])
  await rm(join(dir, `${STEM}.tar.xz`))
  t.match(await run(dir, [NAME]), [{ result: 'forgotten', archiveBytes: 0 }], 'metadata alone')
  await rm(join(dir, 'other-1.0.tar.xz'))
  await rm(join(dir, 'other-1.0.tar.xz.json'))
  t.match(await run(dir, ['other:1.0']), [{ result: 'forgotten' }], 'only the lines')
  t.strictSame(await readdir(dir), [])
})

t.test('forget: by the name of a file', async (t) => {
  for (const name of ['a.tar', 'dir/a.tar', 'a.tar.xz', './a.tar.xz']) {
    const dir = await deliver(t, recordOf('a.tar.xz'), recordOf('a.tar.zst'), OTHER)
    const named = name.startsWith('./') ? join(dir, name) : name
    t.match(await run(dir, [named]), [{ image: named, result: 'forgotten' }])
    const left = (await readdir(dir)).filter((each) => each.startsWith('a.'))
    t.strictSame(left, name.endsWith('.xz') ? ['a.tar.zst', 'a.tar.zst.json'] : [], name)
  }
})

t.test('forget: an archive of another directory is not the one of that name here', async (t) => {
  const dir = await deliver(t, OTHER)
  await t.rejects(run(dir, ['old/other-1.0.tar.xz']), { code: 'USAGE', message: /does not lie in/ })
  t.ok((await readdir(dir)).includes('other-1.0.tar.xz'))
})

// what it is, what is named, the code
const REFUSED: [string, (dir: string) => Promise<unknown>, string, string][] = [
  ['without metadata', (dir) => rm(join(dir, `${STEM}.tar.xz.json`)), NAME, 'NAME_CLASH'],
  [
    'with damaged metadata',
    (dir) => writeFile(join(dir, `${STEM}.tar.xz.json`), '{'),
    NAME,
    'BAD_RECORD',
  ],
  [
    'of another image',
    (dir) =>
      writeFile(
        join(dir, `${STEM}.tar.xz.json`),
        formatMetadata(recordOf(`${STEM}.tar.xz`, 'registry.example_tool:1.0')),
      ),
    NAME,
    'MISMATCH',
  ],
  ['that was saved, by the name of a tar', async () => {}, `${STEM}.tar`, 'NAME_CLASH'],
]

for (const [what, change, name, code] of REFUSED) {
  t.test(`forget: an archive ${what} stays, unless by force`, async (t) => {
    const dir = await deliver(t, recordOf(`${STEM}.tar.xz`, NAME))
    await change(dir)
    t.match(await run(dir, [name]), [{ result: 'failed', error: { code } }])
    t.match(await run(dir, [name], { dryRun: true }), [{ result: 'failed', error: { code } }])
    t.ok((await readdir(dir)).includes(`${STEM}.tar.xz`))
    t.match(await run(dir, [name], { force: true }), [{ result: 'forgotten' }])
    t.strictSame(await readdir(dir), [])
  })
}

t.test('forget: an image whose tag ends as the name of an increment is another', async (t) => {
  const file = `${STEM}.increment.tar.xz`
  const dir = await deliver(
    t,
    recordOf(`${STEM}.tar.xz`, NAME),
    recordOf(file, `${NAME}.increment`),
  )
  t.match(await run(dir, [NAME]), [{ result: 'forgotten', notes: [`${STEM}.tar.xz`] }])
  t.ok((await readdir(dir)).includes(file))
})

t.test('forget: layers that another increment needs', async (t) => {
  const full = holding(recordOf(`${STEM}.tar.xz`, NAME))
  const increment = recordOf('b-1.increment.tar.xz', 'b:1', { requires: REQUIRES })
  const dir = await deliver(t, full, increment)
  t.match(await run(dir, [NAME]), [
    {
      result: 'failed',
      error: {
        code: 'MISSING_LAYER',
        message: `forget "${NAME}": its layers are needed by "b-1.increment.tar.xz"`,
      },
    },
  ])
  t.match(await run(dir, [NAME, 'b:1'], { dryRun: true }), [
    { result: 'would be forgotten' },
    { result: 'would be forgotten' },
  ])
  t.match(await run(dir, [NAME], { force: true }), [{ result: 'forgotten' }])

  const refused = await deliver(t, full, increment)
  await rm(join(refused, 'b-1.increment.tar.xz.json'))
  await writeFile(join(refused, 'b-1.increment.tar.xz.json'), '{')
  t.match(
    await run(refused, [NAME, 'b:1']),
    [
      { error: { code: 'BAD_RECORD' } },
      { error: { message: /its layers may be needed by "b-1\.inc/ } },
    ].toReversed(),
    'what stays may need it',
  )
  const alone = await deliver(t, full, increment, holding(recordOf('c-1.tar.xz', 'c:1')))
  await rm(join(alone, 'c-1.tar.xz'))
  t.match(await run(alone, [NAME]), [{ error: { code: 'MISSING_LAYER' } }], 'metadata has no layer')

  const twice = await deliver(t, full, increment, holding(recordOf('c-1.tar.xz', 'c:1')))
  t.match(await run(twice, [NAME]), [{ result: 'forgotten' }], 'another archive has the layer')
})

t.test('forget: tells what is wrong before anything is removed', async (t) => {
  const dir = await deliver(t, OTHER)
  const before = await readFile(join(dir, 'SHA256SUMS'), 'utf8')
  await t.rejects(run(dir, ['other:1.0'], { names: ['a:1'] }), { code: 'USAGE', message: /"a:1"/ })
  await t.rejects(run(dir, ['other:1.0', 'B A D']), { code: 'BAD_REFERENCE' })
  await t.rejects(run(join(dir, 'none'), ['other:1.0']), { code: 'NO_DIRECTORY' })
  t.equal(await readFile(join(dir, 'SHA256SUMS'), 'utf8'), before)
})

import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import {
  checkReplaced,
  findArchived,
  removeReplaced,
  type ImageArchiveOptions,
} from '../../../../lib/commands/save/existing-archive.ts'
import type { Notice } from '../../../../lib/core/outcome.ts'
import { Directory } from '../../../../lib/delivery/directory.ts'
import { formatMetadata } from '../../../../lib/delivery/metadata.ts'
import { containerdStore } from '../../../../lib/engine/containerd-store.ts'
import { graphDriverStore } from '../../../../lib/engine/graph-driver-store.ts'
import type { ImageStore } from '../../../../lib/engine/image-store.ts'
import { parseReference } from '../../../../lib/image/reference.ts'
import type { StoredImage } from '../../../../lib/image/source.ts'
import { xzCoding } from '../../../fixtures/archive-writing.ts'
import { sha256 } from '../../../fixtures/digest.ts'
import { SAMPLE_RECORD, recordOfBytes } from '../../../fixtures/sample-record.ts'

const SAMPLE = parseReference('registry.example/tool:1.0')
const IMAGE = { id: 'sha256:1', repoTags: [], platform: 'linux/amd64', sizeBytes: 1, diffIds: [] }
const RECORD_FILE = 'registry.example_tool-1.0.tar.xz.json'

const OPTIONS: ImageArchiveOptions = {
  directory: new Directory('.'),
  force: false,
  coding: xzCoding(6),
  threads: undefined,
  layers: { recompress: false, verifyLayers: false, reuse: [], since: [] },
  notify: () => {},
  signal: new AbortController().signal,
}

async function check(dir: string, platform = 'linux/amd64', force = false): Promise<Notice[]> {
  const notices: Notice[] = []
  await checkReplaced(
    SAMPLE,
    { ...IMAGE, platform },
    { ...OPTIONS, directory: new Directory(dir), force, notify: (notice) => notices.push(notice) },
  )
  return notices
}

t.test('checkReplaced: the same image may be replaced, another one only by force', async (t) => {
  const dir = t.testdir({ [RECORD_FILE]: formatMetadata(SAMPLE_RECORD) })
  t.strictSame(await check(dir), [])
  await t.rejects(check(dir, 'linux/arm64'), { code: 'WRONG_PLATFORM' })
  const [image] = SAMPLE_RECORD.images
  const images = image ? [{ ...image, reference: 'registry.example_tool:1.0' }] : []
  await writeFile(join(dir, RECORD_FILE), formatMetadata({ ...SAMPLE_RECORD, images }))
  await t.rejects(check(dir), { code: 'NAME_CLASH', message: /it holds "registry.example_tool:/ })
  t.strictSame(await check(dir, 'linux/arm64', true), [])
})

t.test('checkReplaced: a file with the name of metadata may be anybody’s', async (t) => {
  const dir = t.testdir({ [RECORD_FILE]: '{}' })
  await t.rejects(check(dir), { code: 'BAD_RECORD', hint: /use --force/ })
})

const STEM = 'registry.example_tool-1.0'

for (const name of ['tar.xz', 'tar.zst', 'increment.tar.xz', 'increment.tar.zst']) {
  // what its metadata is, what lies there, the code
  const FOREIGN = [
    ['missing', {}, 'NAME_CLASH'],
    ['damaged', { [`${STEM}.${name}.json`]: '{}' }, 'BAD_RECORD'],
    ['of a newer tool', { [`${STEM}.${name}.json`]: '{"schema":3}' }, 'BAD_RECORD'],
  ] as const
  for (const [what, files, code] of FOREIGN) {
    t.test(`checkReplaced: ${name} whose metadata is ${what} stays unless by force`, async (t) => {
      const dir = t.testdir({ [`${STEM}.${name}`]: 'a user’s own', ...files })
      for (const platform of ['linux/amd64', 'linux/arm64']) {
        await t.rejects(check(dir, platform), {
          code,
          message: `replace "${join(dir, STEM)}.${name}": `,
          hint: /--force/,
        })
      }
      await t.resolves(check(dir, 'linux/arm64', true))
    })
  }
}

const REPLACED = [
  ['only a note', false, ['stays: its metadata cannot be read'], 1],
  ['a removal by force', true, ['it takes the place of '], 0],
] as const

for (const [what, force, notes, left] of REPLACED) {
  t.test(`removeReplaced: for an archive that may be anybody's ${what}`, async (t) => {
    const name = `${STEM}.tar.zst`
    const dir = t.testdir({ [name]: 'a user’s own', [RECORD_FILE]: formatMetadata(SAMPLE_RECORD) })
    const archive = join(dir, `${STEM}.tar.xz`)
    const told = await removeReplaced(archive, SAMPLE, IMAGE, {
      ...OPTIONS,
      directory: new Directory(dir),
      force,
    })
    t.match(told, notes)
    t.match(told, [name])
    t.equal((await readdir(dir)).filter((each) => each === name).length, left)
  })
}

t.test('checkReplaced: names that are too long: told where one is to be written', async (t) => {
  const options = { ...OPTIONS, directory: new Directory(t.testdir({})) }
  await t.resolves(checkReplaced(parseReference(`${'a'.repeat(234)}:1`), IMAGE, options))
  const long = parseReference(`${'a'.repeat(250)}:1`)
  await t.rejects(checkReplaced(long, IMAGE, options), { code: 'ENAMETOOLONG' })
})

t.test('checkReplaced: metadata that cannot be read is an error', async (t) => {
  const dir = t.testdir({})
  await mkdir(join(dir, RECORD_FILE))
  await t.rejects(check(dir), { code: 'BAD_FILE' })
})

const FILE = 'registry.example_tool-1.0.tar.xz'
const GRAPH = graphDriverStore(true)
const CONTAINERD = containerdStore(true)

// the engine's ID and manifest, its store, whether the archive is of that image
const STORED: [string, Partial<StoredImage>, ImageStore, boolean][] = [
  ['its config', { id: sha256('config') }, GRAPH, true],
  ['another config', { id: sha256('other') }, GRAPH, false],
  ['its manifest', { id: sha256('manifest'), manifestDigest: sha256('manifest') }, CONTAINERD, true],
  ['an index around its manifest', { id: sha256('index'), manifestDigest: sha256('manifest') }, CONTAINERD, true],
  ['another manifest', { id: sha256('config'), manifestDigest: sha256('other') }, CONTAINERD, false],
  ['other layers', { id: sha256('manifest'), diffIds: [sha256('other')] }, CONTAINERD, false],
] // prettier-ignore

for (const [what, own, store, isFound] of STORED) {
  t.test(`findArchived: ${what}: ${isFound}`, async (t) => {
    const metadata = formatMetadata(recordOfBytes(FILE, 'archive'))
    const dir = t.testdir({ [FILE]: 'archive', [`${FILE}.json`]: metadata })
    const image = { ...IMAGE, diffIds: [sha256('layer')], ...own }
    const options = { ...OPTIONS, directory: new Directory(dir) }
    const found = await findArchived(SAMPLE, { image, source: store }, options)
    t.equal(found !== undefined, isFound)
  })
}

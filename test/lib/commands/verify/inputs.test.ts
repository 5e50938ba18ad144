import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'

import {
  readInputs,
  type ReadInputs,
  type InputTools,
} from '../../../../lib/commands/verify/inputs.ts'
import type { Notice } from '../../../../lib/core/outcome.ts'
import { EngineSource } from '../../../../lib/engine/source.ts'
import { readers, write } from '../../../fixtures/archive-writing.ts'
import { sha256 } from '../../../fixtures/digest.ts'
import { wrapCommand } from '../../../fixtures/faults.ts'
import { GRAPH } from '../../../fixtures/graph-engine.ts'
import { tar, type TarEntry } from '../../../fixtures/tar-builder.ts'

const IMAGE = { id: '', repoTags: [], platform: 'linux/amd64', sizeBytes: 0, diffIds: [] }

/** The members of an image; without layers, to keep it short. */
function imageOf(architecture: string): TarEntry[] {
  const content = JSON.stringify({ architecture, os: 'linux', rootfs: { diff_ids: [] } })
  const path = `${sha256(content).slice('sha256:'.length)}.json`
  const manifest = JSON.stringify([{ Config: path, RepoTags: ['a:1'], Layers: [] }])
  return [
    { path: 'manifest.json', content: manifest },
    { path, content },
  ]
}

/** An archive, and an engine that saves those members, then `ends`; `saves` counts how often it did. */
async function prepare(
  t: Test,
  saved: readonly TarEntry[],
  ends = 'exit 0',
): Promise<{
  archive: string
  read: () => Promise<ReadInputs>
  saves: () => Promise<number>
  notices: Notice[]
}> {
  const dir = t.testdir()
  const archive = join(dir, 'a.tar.xz')
  await write(archive, tar(imageOf('amd64')))
  await writeFile(join(dir, 'saved.tar'), tar(saved))
  const script = `echo >>${dir}/log; cat ${dir}/saved.tar; ${ends}`
  const before = process.env['PATH']
  process.env['PATH'] = (await wrapCommand(join(dir, 'bin'), 'docker', script)).PATH
  t.teardown(() => (process.env['PATH'] = before))
  const notices: Notice[] = []
  const notify = (notice: Notice): void => void notices.push(notice)
  const tools: InputTools = {
    source: new EngineSource(GRAPH),
    decompressors: readers(),
    options: { threads: 2, notify, signal: new AbortController().signal },
    writesDifferently: false,
  }
  const sourceTar = { name: 'a:1', image: IMAGE }
  const side = {
    target: { archive, label: 'a:1' },
    metadata: undefined,
    sourceTar,
  }
  return {
    archive,
    read: () => readInputs(side, tools),
    saves: async () => (await readFile(join(dir, 'log'), 'utf8')).length,
    notices,
  }
}

const MD5 = /^[0-9a-f]{32}$/

t.test('readSides: the same content: the md5 is made once', async (t) => {
  const { read, saves, notices } = await prepare(t, imageOf('amd64'))
  const sides = await read()
  t.match(sides.read.tar.contentMd5, MD5)
  t.equal(sides.digest?.tar.contentMd5, undefined)
  t.equal(sides.digest?.tar.membersSha256, sides.read.tar.membersSha256)
  t.equal(await saves(), 1)
  t.notOk(notices.some(({ type }) => type === 'remark'))
})

t.test('readSides: laid out differently: the first is saved again, the next is not', async (t) => {
  const { read, saves, notices } = await prepare(t, imageOf('amd64').toReversed())
  for (const [round, want] of [2, 3].entries()) {
    const { read: archive, digest } = await read()
    t.match(digest?.tar.contentMd5, MD5)
    t.not(digest?.tar.contentMd5, archive.tar.contentMd5)
    t.equal(await saves(), want, `round ${round}`)
  }
  t.match(
    notices.filter(({ type }) => type === 'remark'),
    [{ text: 'the content differs: the engine saves "a:1" again, for its md5' }],
  )
})

t.test('readSides: another image says nothing of how the engine lays them out', async (t) => {
  const { read, saves } = await prepare(t, imageOf('arm64'))
  for (const want of [2, 4]) {
    t.match((await read()).digest?.tar.contentMd5, MD5)
    t.equal(await saves(), want)
  }
})

t.test('readSides: an engine that fails ends the other side', async (t) => {
  const { read } = await prepare(t, imageOf('amd64'), 'echo "out of luck" >&2; exit 1')
  await t.rejects(read(), { code: 'ENGINE_FAILED', message: 'save "a:1": out of luck' })
})

// what is wrong with the engine's tar, what is said of it
const DAMAGED: [what: string, saved: Buffer, code: string, reason: string][] = [
  ['cut off', tar(imageOf('amd64')).subarray(0, 700), 'TRUNCATED_TAR', 'read tar: it stops at'],
  ['none', Buffer.alloc(512, 'x'), 'BAD_TAR', 'read tar header at byte 0: '],
  ['that of half an image', tar(imageOf('amd64').slice(0, 1)), 'BAD_IMAGE', ''],
]
for (const [what, saved, code, reason] of DAMAGED) {
  t.test(`readSides: a tar of the engine that is ${what} is no fault of the archive`, async (t) => {
    const { read, archive } = await prepare(t, imageOf('amd64'))
    await writeFile(join(dirname(archive), 'saved.tar'), saved)
    const message = new RegExp(`^save "a:1": ${reason}`)
    await t.rejects(read(), { code, message })
  })
}

t.test('readSides: an archive that is none ends the other side', async (t) => {
  const { read, archive } = await prepare(t, imageOf('amd64'), 'exec sleep 60')
  await writeFile(archive, 'no archive')
  await t.rejects(read(), { code: 'BAD_ARCHIVE' })
})

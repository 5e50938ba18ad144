import { chmod, cp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import t, { type Test } from 'tap'

import { createBetweenReader } from '../../../../lib/archive/between-layers.ts'
import { findDelivered } from '../../../../lib/commands/delivered-archive.ts'
import {
  loadArchive,
  type LoadTools,
  type LoadedArchive,
} from '../../../../lib/commands/load/load-archive.ts'
import type { LoadTurn } from '../../../../lib/commands/load/queue.ts'
import { interrupted } from '../../../../lib/core/errors.ts'
import type { Segment } from '../../../../lib/delivery/metadata.ts'
import { containerdStore } from '../../../../lib/engine/containerd-store.ts'
import { EngineSink } from '../../../../lib/engine/sink.ts'
import { readImages, type ArchivedImage } from '../../../../lib/image/docker-archive.ts'
import { dockerArchive } from '../../../fixtures/archive-builder.ts'
import { delivered, readers, write } from '../../../fixtures/archive-writing.ts'
import { listen } from '../../../fixtures/daemon-socket.ts'
import { sha256 } from '../../../fixtures/digest.ts'
import { digest } from '../../../fixtures/digested-tar.ts'
import { GRAPH } from '../../../fixtures/graph-engine.ts'
import { plainDelivery } from '../../../fixtures/plain-delivery.ts'
import { sh } from '../../../fixtures/run.ts'

const MIB = 1024 * 1024
const [BASE = Buffer.alloc(0), TOP = Buffer.alloc(0)] = ['b', 't'].map((letter) => {
  return Buffer.alloc(2 * MIB, letter)
})
const { archive: TAR } = dockerArchive({ layers: [BASE, TOP], tags: ['a:1'], layout: 'oci' })

const IMAGES = readImages(digest(TAR).tar)

const AT_ONCE: LoadTurn = { before: [], wait: async () => {}, onSent: () => {} }

// A client of no daemon: it tells of the layers in `layers`, and keeps what it
// is given to load, but for the times that it shall fail.
const CLIENT = `#!/bin/bash
case "$1 $2" in
"image ls") [ ! -s layers ] || echo sha256:1 ;;
"image inspect") cat layers ;;
load*)
  n=$(ls | grep -c got)
  if [ -e "fail$n" ]; then read -rn 9 _; touch "got$n"; cat "fail$n" >&2; exit 1; fi
  exec tee "got$n" >/dev/null ;;
esac
`

interface Bench {
  readonly dir: string
  /** Loads an archive of the directory; gives what came of it, and the warnings. */
  readonly load: (
    name: string,
    options?: Partial<LoadTools['options']>,
    tools?: Partial<LoadTools>,
  ) => Promise<LoadedArchive>
  /** Says which layers the engine has from now on. */
  readonly has: (layers: readonly Buffer[]) => Promise<void>
  readonly warnings: string[]
  /** What the client was given, in the order of its runs. */
  readonly got: () => Promise<Buffer[]>
}

const written = t.testdir({ base: {} })
await write(join(written, 'base', 'a.tar.xz'), TAR)
await write(join(written, 'a.tar.xz'), TAR)
await write(join(written, 'a.tar.xz'), TAR, { excluded: delivered([BASE]) })
await sh('xz -dc a.tar.xz | xz -c0 > plain.tar.xz; sha256sum plain.tar.xz >>SHA256SUMS', {
  cwd: written,
})

/** @param has - the layers that the engine has, from the base upwards */
async function prepare(
  t: Test,
  has: readonly Buffer[],
  files: Record<string, string> = {},
): Promise<Bench> {
  const dir = join(t.testdir({ carry: {}, bin: {}, client: files }), 'carry')
  await cp(written, dir, { recursive: true })
  const client = join(dir, '..', 'client')
  const say = async (layers: readonly Buffer[]): Promise<void> => {
    const text = layers.length > 0 ? JSON.stringify(layers.map((layer) => sha256(layer))) : ''
    await writeFile(join(client, 'layers'), text)
  }
  await say(has)
  const script = CLIENT.replace('\n', `\ncd ${client}\n`)
  await writeFile(join(dir, '..', 'bin', 'docker'), script)
  await chmod(join(dir, '..', 'bin', 'docker'), 0o755)
  const before = process.env['PATH']
  process.env['PATH'] = `${join(dir, '..', 'bin')}:${before}`
  t.teardown(() => (process.env['PATH'] = before))
  const warnings: string[] = []
  const notify: LoadTools['options']['notify'] = (notice) =>
    notice.type === 'warning' && warnings.push(notice.text)
  const signal = new AbortController().signal
  return {
    dir,
    warnings,
    has: say,
    async load(name, more = {}, tools = {}) {
      const archive = join(dir, name)
      const reading = { notify, signal, delivery: plainDelivery() }
      const options = { dir, threads: 2, bases: [], force: false, ...reading, ...more }
      const { sink = new EngineSink(GRAPH), turn = AT_ONCE } = tools
      const all = { sink, decompressors: readers(), options, turn }
      const target = { archive, label: 'a:1' }
      const found = await findDelivered(target, options.delivery)
      const { metadata } = found
      const input = {
        target,
        delivered: found,
        readBetween: metadata && createBetweenReader({ archive, metadata }, { ...all, ...options }),
        checkUnknown: async () => {},
      }
      return loadArchive(input, all)
    },
    async got() {
      const names = (await readdir(client)).filter((each) => each.startsWith('got')).toSorted()
      return Promise.all(names.map((each) => readFile(join(client, each))))
    },
  }
}

/** The layers in a tar, as letters. */
function layersIn(bytes: Buffer | undefined): string {
  const members = bytes && [...(digest(bytes).tar.members?.values() ?? [])]
  const digests = new Set(members?.map((member) => `sha256:${member.sha256}`))
  return [
    [BASE, 'b'],
    [TOP, 't'],
  ]
    .map(([layer = '', letter]) => (digests.has(sha256(layer)) ? letter : ''))
    .join('')
}

t.test('loadArchive: where its daemon is known, that gets what it needs all of', async (t) => {
  const { load, got, has } = await prepare(t, [])
  const asked: Buffer[] = []
  const socketPath = await listen(t, async (request, answer) => {
    const body = await buffer(request)
    if (request.url === '/info') return answer.end('{"ID":"one","Name":"here"}')
    asked.push(body)
    return answer.end()
  })
  const sink = new EngineSink({ ...GRAPH, daemon: { socketPath, id: 'one', name: 'here' } })
  await load('a.tar.xz', {}, { sink })
  t.ok(asked[0]?.equals(TAR))
  t.strictSame(await got(), [], 'the client gets nothing')
  await has([BASE])
  sink.forget()
  await load('a.tar.xz', {}, { sink })
  await load('plain.tar.xz', {}, { sink })
  t.equal(asked.length, 1)
  t.strictSame(
    (await got()).map(layersIn),
    ['t', 'bt'],
    'it gets what is not sent as it lies there',
  )
})

t.test('loadArchive: metadata that tells of another size of the last layer', async (t) => {
  const { load, got, dir } = await prepare(t, [])
  const path = join(dir, 'a.tar.xz.json')
  const metadata = JSON.parse(await readFile(path, 'utf8'))
  const isLayer = ({ layerDigest }: Segment): boolean => layerDigest !== undefined
  const last = metadata.segments.findLastIndex(isLayer)
  metadata.segments[last].tarSizeBytes -= 512
  for (const later of metadata.segments.slice(last + 1)) later.tarOffsetBytes -= 512
  metadata.tar.sizeBytes -= 512
  await writeFile(path, JSON.stringify(metadata))
  await sh('sha256sum a.tar.xz a.tar.xz.json >SHA256SUMS', { cwd: dir })
  await t.rejects(load('a.tar.xz'), { code: 'MISMATCH', message: /check size of the tar: got/ })
  t.strictSame(await got(), [], 'the engine was asked for nothing')
})

// the archive, what the engine has, whether it is forced, the layers that it gets
const LOADS: [string, Buffer[], boolean, string][] = [
  ['a.tar.xz', [], false, 'bt'],
  ['a.tar.xz', [BASE], false, 't'],
  ['a.tar.xz', [BASE, TOP], false, ''],
  ['a.tar.xz', [BASE, TOP], true, 'bt'],
  ['a.tar.xz', [TOP], false, 'bt'],
  ['plain.tar.xz', [BASE], false, 'bt'],
]

for (const [name, has, force, want] of LOADS) {
  const title = `${name}${force ? ', forced,' : ''} to an engine with ${has.length} layers`
  t.test(`loadArchive: ${title}`, async (t) => {
    const { load, got, warnings } = await prepare(t, has)
    const loaded = await load(name, { force })
    const [bytes, ...others] = await got()
    t.equal(others.length, 0)
    t.equal(layersIn(bytes), want)
    if (want === 'bt') t.ok(bytes?.equals(TAR))
    t.equal(loaded.tarBytes, TAR.length)
    t.equal(loaded.skippedBytes, (2 - want.length) * 2 * MIB)
    t.match(loaded.images, [{ repoTags: ['a:1'] }])
    t.equal(warnings.length, name.startsWith('plain') ? 1 : 0)
  })
}

t.test('loadArchive: a store that wants all of an image gets all', async (t) => {
  const { load, got } = await prepare(t, [BASE, TOP])
  await load('a.tar.xz', {}, { sink: new EngineSink({ ...GRAPH, store: containerdStore(true) }) })
  t.ok((await got())[0]?.equals(TAR))
})

// what the engine has, where the archive of the base lies, the layers that it gets
const INCREMENTS: [Buffer[], 'carry' | 'base' | 'nowhere', string | undefined][] = [
  [[BASE], 'nowhere', 't'],
  [[BASE, TOP], 'nowhere', ''],
  [[], 'carry', 'bt'],
  [[], 'base', 'bt'],
  [[], 'nowhere', undefined],
]

for (const [has, where, want] of INCREMENTS) {
  const title = `to an engine with ${has.length} layers, its base ${where}`
  t.test(`loadArchive: an increment ${title}`, async (t) => {
    const { dir, load, got } = await prepare(t, has)
    if (where !== 'carry') await rm(join(dir, 'a.tar.xz'))
    const loading = load(
      'a.increment.tar.xz',
      where === 'base' ? { bases: [join(dir, 'base')] } : {},
    )
    if (want === undefined) {
      await t.rejects(loading, {
        code: 'MISSING_LAYER',
        message: `load "a:1": it needs layers of "${sha256(BASE).slice(7)}.tar.xz": ${sha256(BASE)} (2.1 MB)`,
      })
      t.strictSame(await got(), [], 'the engine is not touched')
      return
    }
    await loading
    t.equal(layersIn((await got())[0]), want)
  })
}

t.test('loadArchive: an increment whose base somebody else loaded meanwhile', async (t) => {
  const { dir, load, has, got } = await prepare(t, [])
  await rm(join(dir, 'a.tar.xz'))
  const sink = new EngineSink(GRAPH)
  t.strictSame([...(await sink.missing(IMAGES))], [sha256(BASE), sha256(TOP)])
  await has([BASE])
  await load('a.increment.tar.xz', {}, { sink })
  t.equal(layersIn((await got())[0]), 't')
})

t.test('loadArchive: after a layer was gone the engine is asked again', async (t) => {
  const { load, has, got } = await prepare(t, [BASE], { fail0: 'layer does not exist' })
  const sink = new EngineSink(GRAPH)
  t.strictSame([...(await sink.missing(IMAGES))], [sha256(TOP)])
  await has([])
  await load('a.tar.xz', {}, { sink })
  t.equal(layersIn((await got())[1]), 'bt')
  t.strictSame([...(await sink.missing(IMAGES))], [sha256(BASE), sha256(TOP)])
})

t.test('loadArchive: a layer that is gone meanwhile: once more, in full', async (t) => {
  const { load, got, warnings } = await prepare(t, [BASE], { fail0: 'layer does not exist' })
  const loaded = await load('a.tar.xz')
  const [, second] = await got()
  t.ok(second?.equals(TAR))
  t.equal(loaded.skippedBytes, 0)
  t.match(warnings, [
    /layer does not exist; it is loaded again with the layers that the engine had/,
  ])
})

t.test('loadArchive: what fails in full is not tried again', async (t) => {
  for (const has of [[], [BASE]]) {
    await t.test(`the engine has ${has.length} layers`, async (t) => {
      const { load, got } = await prepare(t, has, { fail0: 'no', fail1: 'no, again' })
      await t.rejects(load('a.tar.xz'), { code: 'ENGINE_FAILED' })
      t.equal((await got()).length, has.length + 1)
    })
  }
})

const IMAGE: ArchivedImage = {
  config: { digest: sha256(Buffer.from('before')) },
  repoTags: ['before:1'],
  platform: 'linux/amd64',
  manifests: [],
  layers: [],
}

// what the engine will have, the layers that it gets
const TURNS: [Buffer[], string][] = [
  [[], 'bt'],
  [[BASE], 't'],
]

for (const [will, want] of TURNS) {
  t.test(
    `loadArchive: an engine that will have ${will.length} layers: no end before`,
    async (t) => {
      const { load, got } = await prepare(t, [])
      const arrived = Promise.withResolvers<void>()
      const turn = Promise.withResolvers<void>()
      const sent: unknown[] = []
      const wait = (): Promise<void> => {
        arrived.resolve()
        return turn.promise
      }
      const before = [
        {
          ...IMAGE,
          layers: will.map((layer) => {
            return { digest: sha256(layer), sizeBytes: layer.length, diffId: sha256(layer) }
          }),
        },
      ]
      const onSent = (images: unknown): void => void sent.push(images)
      const loading = load('a.tar.xz', {}, { turn: { before, wait, onSent } })
      await arrived.promise
      const [early = Buffer.alloc(0)] = await got()
      t.notOk(early.includes('manifest.json'))
      t.match(sent, [[{ repoTags: ['a:1'] }]], 'the next may begin by now')
      turn.resolve()
      await loading
      t.equal(layersIn((await got())[0]), want)
      t.equal(sent.length, 1)
    },
  )
}

t.test('loadArchive: a turn that does not come: no end either', async (t) => {
  const { load, got } = await prepare(t, [])
  const controller = new AbortController()
  const { signal } = controller
  const wait = async (): Promise<void> => {
    controller.abort()
    throw interrupted()
  }
  const loading = load('a.tar.xz', { signal }, { turn: { ...AT_ONCE, wait } })
  await t.rejects(loading, { code: 'INTERRUPTED' })
  const [bytes] = await got()
  t.notOk(bytes?.includes('manifest.json'))
})

// what is damaged, how
const DAMAGES: [string, string][] = [
  ['a byte', 'printf x | dd conv=notrunc status=none bs=1 seek=300 of=a.tar.xz'],
  ['the end', 'truncate -s -100 a.tar.xz'],
  ['the checksum in SHA256SUMS', 'sed -i "/ a.tar.xz$/s/^......../00000000/" SHA256SUMS'],
]

for (const [what, script] of DAMAGES) {
  t.test(`loadArchive: ${what} is damaged: the engine gets no end`, async (t) => {
    const { dir, load, got } = await prepare(t, [])
    await sh(script, { cwd: dir })
    const error: unknown = await load('a.tar.xz').catch((thrown: unknown) => thrown)
    t.match(error, { code: /MISMATCH|BAD_ARCHIVE/ })
    const [bytes] = await got()
    t.ok((bytes?.length ?? 0) < TAR.length - 1024)
  })
}

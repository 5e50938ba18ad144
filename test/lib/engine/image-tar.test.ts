import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'

import { beginTar } from '../../../lib/commands/save/begun-tar.ts'
import { containerdStore } from '../../../lib/engine/containerd-store.ts'
import type { Engine } from '../../../lib/engine/engine.ts'
import { graphDriverStore } from '../../../lib/engine/graph-driver-store.ts'
import { findTar } from '../../../lib/engine/image-tar.ts'
import type { ImageTar } from '../../../lib/image/source.ts'
import { useScripts } from '../../fixtures/programs-on-path.ts'

const ENGINE: Engine = {
  name: 'docker',
  store: graphDriverStore(true),
  savesPlatform: false,
  inspectsPlatform: false,
}
const IMAGE = {
  id: 'sha256:0',
  repoTags: ['a:1'],
  platform: 'linux/amd64',
  sizeBytes: 5,
  diffIds: [],
}

/** The tar of an engine whose command is that script. */
async function tarOf(t: Test, script: string): Promise<ImageTar> {
  await useScripts(t, { docker: script })
  const signal = new AbortController().signal
  const options = { recompress: false, label: 'a:1', notify: () => {}, signal }
  return findTar(ENGINE, 'a:1', IMAGE, options)
}

t.test('findTar: the engine begins when it is opened', async (t) => {
  const image = await tarOf(t, 'echo "$@"')
  t.equal(image.sizeBytes, 5)
  for (let time = 0; time < 2; time++) {
    const { tar, child } = image.open()
    t.equal(await text(tar), 'save a:1\n')
    await child?.exited
  }
})

t.test('beginTar: nothing is lost of an engine that ends before anybody reads', async (t) => {
  const begun = beginTar(await tarOf(t, 'echo "$@"'))
  await delay(500)
  const { tar, child } = begun.open()
  t.equal(await text(tar), 'save a:1\n')
  await child?.exited
  await begun.end()
})

t.test('beginTar: where it is opened again the engine begins again', async (t) => {
  const begun = beginTar(await tarOf(t, 'echo $$'))
  const [first, second] = [begun.open(), begun.open()]
  t.not(await text(first.tar), await text(second.tar))
  await Promise.all([first.child?.exited, second.child?.exited])
})

t.test('beginTar: an engine that failed before anybody wanted it begins again', async (t) => {
  const script = 'if [ -e "$0.again" ]; then echo well; else : >"$0.again"; exit 1; fi'
  const begun = beginTar(await tarOf(t, script))
  await delay(500)
  const { tar, child } = begun.open()
  t.equal(await text(tar), 'well\n')
  await child?.exited
})

t.test('beginTar: how the engine fails is told where it is opened', async (t) => {
  const begun = beginTar(await tarOf(t, '/bin/sleep 1; echo broken >&2; exit 1'))
  const { tar, child } = begun.open()
  t.equal(await text(tar), '')
  await t.rejects(child?.exited ?? Promise.resolve(), { message: /broken/ })
})

t.test('beginTar: what nobody opened is ended', async (t) => {
  const image = await tarOf(t, 'exec /bin/sleep 60')
  const opened: ReturnType<ImageTar['open']>[] = []
  const open = (): ReturnType<ImageTar['open']> => {
    const last = image.open()
    opened.push(last)
    return last
  }
  await beginTar({ ...image, open }).end()
  t.equal(opened.length, 1)
  await t.rejects(Promise.all(opened.flatMap(({ child }) => child?.exited ?? [])), {
    code: 'INTERRUPTED',
  })
})

const OF_REGISTRIES: Engine = { ...ENGINE, store: containerdStore(true) }

t.test('findTar: of a store that is no graph driver, how the engine ends is told', async (t) => {
  await useScripts(t, { docker: 'echo no tar; echo broken >&2; exit 1' })
  const signal = new AbortController().signal
  const options = { recompress: false, label: 'a:1', notify: () => {}, signal }
  const image = await findTar(OF_REGISTRIES, 'a:1', IMAGE, options)
  const { tar, child } = image.open()
  await t.rejects(text(tar), { code: 'TRUNCATED_TAR' })
  await t.rejects(child?.exited ?? Promise.resolve(), { message: /broken/ })
})

for (const script of ['echo no tar', 'exec /bin/sleep 60']) {
  t.test(`beginTar: of such a store, not opened: ${script}`, async (t) => {
    await useScripts(t, { docker: script })
    const signal = new AbortController().signal
    const options = { recompress: false, label: 'a:1', notify: () => {}, signal }
    const begun = beginTar(await findTar(OF_REGISTRIES, 'a:1', IMAGE, options))
    await delay(500)
    await begun.end()
  })
}

t.test('beginTar: of such a store, opened after it stopped short', async (t) => {
  await useScripts(t, { docker: 'echo no tar' })
  const signal = new AbortController().signal
  const options = { recompress: false, label: 'a:1', notify: () => {}, signal }
  const begun = beginTar(await findTar(OF_REGISTRIES, 'a:1', IMAGE, options))
  await delay(500)
  await t.rejects(text(begun.open().tar), { code: 'TRUNCATED_TAR' })
})

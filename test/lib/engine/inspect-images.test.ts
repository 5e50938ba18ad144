import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import type { Engine } from '../../../lib/engine/engine.ts'
import { graphDriverStore } from '../../../lib/engine/graph-driver-store.ts'
import { inspectImages } from '../../../lib/engine/inspect-images.ts'
import { useScripts } from '../../fixtures/programs-on-path.ts'

const DOCKER: Engine = {
  name: 'docker',
  store: graphDriverStore(true),
  savesPlatform: false,
  inspectsPlatform: false,
}

// Says of each name what image it is; `none` is not there, `index` means several.
const ENGINE = `
log="$LOG"
echo "$*" >>"$log"
while [ "$1" != -- ]; do [ "$1" != --platform ] || one=yes; shift; done
shift
status=0
sep='['
for name in "$@"; do
  case $name in
    none*) echo "Error: No such image: $name" >&2; status=1; continue ;;
    index*) type=index ;;
    *) type=manifest ;;
  esac
  [ -z "$one" ] || type=manifest
  printf '%s{"Id":"sha256:%s","Os":"linux","Architecture":"amd64","RootFS":{},"Descriptor":{"mediaType":"%s"}}' "$sep" "$name" "$type"
  sep=,
done
[ "$sep" = , ] || printf '['
printf ']'
exit $status
`

/** Asks for images; gives what each name was found to be, and how many times the engine was asked. */
async function ask(
  t: Test,
  names: readonly string[],
  engine: Partial<Engine> = {},
): Promise<[ids: Record<string, string>, times: number]> {
  const log = join(t.testdir({}), 'log')
  const name = engine.name ?? 'docker'
  await useScripts(t, { [name]: ENGINE.replace('$LOG', log) })
  const found = await inspectImages({ ...DOCKER, ...engine }, names)
  const ids = [...found].map(([reference, { id }]) => [reference, id.replace('sha256:', '')])
  return [Object.fromEntries(ids), (await readFile(log, 'utf8')).split('\n').length - 1]
}

const same = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, name]))

t.test('inspectImages: asks for some at once', async (t) => {
  const names = Array.from({ length: 101 }, (_, n) => `a:${n}`)
  t.strictSame(await ask(t, names), [same(names), 3])
})

t.test('inspectImages: where one is not there it asks for each', async (t) => {
  t.strictSame(await ask(t, ['a:1', 'none:1', 'b:1']), [same(['a:1', 'b:1']), 4])
  t.strictSame(await ask(t, ['none:1']), [{}, 1])
})

t.test('inspectImages: an index is asked for by itself, for its platform', async (t) => {
  const names = ['a:1', 'index:1', 'b:1']
  t.strictSame(await ask(t, names), [same(names), 1])
  t.strictSame(await ask(t, names, { inspectsPlatform: true }), [same(names), 3])
})

t.test('inspectImages: of other engines nothing says in which order they answer', async (t) => {
  t.strictSame(await ask(t, ['a:1', 'b:1'], { name: 'podman' }), [same(['a:1', 'b:1']), 2])
})

t.test('inspectImages: an engine that fails is told as for one image', async (t) => {
  await useScripts(t, { docker: 'echo "out of luck" >&2; exit 1' })
  await t.rejects(inspectImages(DOCKER, ['a:1', 'b:1']), {
    code: 'ENGINE_FAILED',
    message: 'inspect "a:1": out of luck',
  })
})

import t from 'tap'

import { ToolError } from '../../../lib/core/errors.ts'
import { visible } from '../../../lib/core/visible-text.ts'
import {
  parseReference,
  pullName,
  readReference,
  taggedName,
} from '../../../lib/image/reference.ts'

const DIGEST = `sha256:${'a1'.repeat(32)}`
const LONG_TAG = 't'.repeat(128)
const LONG_NAME = `${'n'.repeat(127)}/${'n'.repeat(127)}`

// text, registry, name, tag, digest
const ACCEPTED: [string, string, string, string | undefined, string?][] = [
  ['ubuntu', 'docker.io', 'ubuntu', 'latest'],
  ['ubuntu:22.04', 'docker.io', 'ubuntu', '22.04'],
  ['ubuntu:80', 'docker.io', 'ubuntu', '80'],
  ['hello.world', 'docker.io', 'hello.world', 'latest'],
  ['library/ubuntu', 'docker.io', 'library/ubuntu', 'latest'],
  ['docker.io/library/ubuntu:_x', 'docker.io', 'docker.io/library/ubuntu', '_x'],
  ['nvcr.io/nvidia/pytorch:24.05-py3', 'nvcr.io', 'nvcr.io/nvidia/pytorch', '24.05-py3'],
  ['localhost/tool', 'localhost', 'localhost/tool', 'latest'],
  ['localhost:5000/a/b:1', 'localhost:5000', 'localhost:5000/a/b', '1'],
  ['box:5000/tool', 'box:5000', 'box:5000/tool', 'latest'],
  ['[::1]:5000/tool', '[::1]:5000', '[::1]:5000/tool', 'latest'],
  ['Registry.Example/tool', 'Registry.Example', 'Registry.Example/tool', 'latest'],
  ['a__b/c--d.e_f', 'docker.io', 'a__b/c--d.e_f', 'latest'],
  [`ubuntu:${LONG_TAG}`, 'docker.io', 'ubuntu', LONG_TAG],
  [LONG_NAME, 'docker.io', LONG_NAME, 'latest'],
  [`ubuntu@${DIGEST}`, 'docker.io', 'ubuntu', undefined, DIGEST],
  [`nvcr.io/a/b:1@${DIGEST}`, 'nvcr.io', 'nvcr.io/a/b', '1', DIGEST],
]

for (const [text, registry, name, tag, digest] of ACCEPTED) {
  t.test(`parseReference: takes ${text}`, async (t) => {
    t.strictSame(parseReference(text), { text, name, registry, tag, digest })
  })
}

const REFUSED = [
  '',
  ' ubuntu',
  'ubuntu\n',
  'a b',
  'ubuntu:',
  'ubuntu:.x',
  'ubuntu:tag!',
  `ubuntu:${LONG_TAG}t`,
  `${LONG_NAME}n`,
  '--help',
  '-v',
  '/ubuntu',
  'ubuntu/',
  'a//b',
  '../ubuntu',
  'a/../b',
  'a.-b',
  'a___b',
  'https://nvcr.io/a',
  'ubuntu@sha256:12',
  `ubuntu@sha512:${'a1'.repeat(32)}`,
  `ubuntu@${DIGEST}0`,
  '$(reboot)',
  'a1'.repeat(32),
]

for (const text of REFUSED) {
  t.test(`parseReference: refuses ${JSON.stringify(text)}`, async (t) => {
    t.throws(() => parseReference(text), {
      code: 'BAD_REFERENCE',
      message: `not a valid image name: "${visible(text, 80)}"`,
      hint: 'write it as for docker pull: [registry/]repository[:tag][@sha256:digest]',
    })
  })
}

t.test('parseReference: of what it refuses, message and hint are short', async (t) => {
  const error = readReference(`A/${'b'.repeat(400)}`)
  if (!(error instanceof ToolError)) throw new Error('it is refused')
  t.match(error, { message: /^not a valid image name: "A\/b+…b+"$/, hint: /lower case: a\/b+…b+$/ })
  t.ok(error.message.length < 120)
  t.ok(String(error.hint).length < 120)
})

t.test('parseReference: tells no password of what it refuses', async (t) => {
  for (const end of ['', 'x'.repeat(600)]) {
    t.throws(() => parseReference(`https://user:s3cr3t@nvcr.io/a${end}`), {
      code: 'BAD_REFERENCE',
      message: /^not a valid image name: "https:\/\/\*\*\*@nvcr\.io\/a/,
    })
  }
})

t.test('parseReference: refuses what is too long, and shows its start', async (t) => {
  for (const part of ['a', 'a-', 'a/', 'A.', ':', '@', '\n']) {
    const text = part.repeat(1_000_000)
    const start = performance.now()
    t.throws(() => parseReference(text), {
      code: 'BAD_REFERENCE',
      message: `not a valid image name: "${visible(part.repeat(100).slice(0, 80))}…": got ${text.length}`,
    })
    t.ok(performance.now() - start < 20_000, 'it ends')
  }
})

for (const text of ['Ubuntu', 'Foo/bar', 'nvcr.io/NVIDIA/pytorch:1']) {
  t.test(`parseReference: tells to write ${text} in lower case`, async (t) => {
    t.throws(() => parseReference(text), {
      code: 'BAD_REFERENCE',
      hint: `repository names are lower case: ${text.toLowerCase()}`,
    })
  })
}

// text, what to pull, the name once loaded
const NAMES: [string, string, string | undefined][] = [
  ['ubuntu', 'ubuntu:latest', 'ubuntu:latest'],
  ['a.b/c:1', 'a.b/c:1', 'a.b/c:1'],
  [`a.b/c@${DIGEST}`, `a.b/c@${DIGEST}`, undefined],
  [`a.b/c:1@${DIGEST}`, `a.b/c@${DIGEST}`, 'a.b/c:1'],
]

for (const [text, pulled, tagged] of NAMES) {
  t.test(`pullName, taggedName: of ${text}`, async (t) => {
    const reference = parseReference(text)
    t.equal(pullName(reference), pulled)
    t.equal(taggedName(reference), tagged)
  })
}

import { join } from 'node:path'
import t from 'tap'

import { Delivery } from '../../../lib/delivery/delivery.ts'
import { formatMetadata } from '../../../lib/delivery/metadata.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { PLAIN, plainDelivery } from '../../fixtures/plain-delivery.ts'
import { SAMPLE_RECORD } from '../../fixtures/sample-record.ts'

const METADATA = formatMetadata(SAMPLE_RECORD)
const OTHER = 'f'.repeat(64)

function line(name: string, content: string): string {
  return `${hexOf(sha256(content))}  ${name}\n`
}

const LISTED = line('a.tar.xz', 'archive') + line('a.tar.xz.json', METADATA)

t.test('delivery: what the manifest lists', async (t) => {
  const dir = t.testdir({ SHA256SUMS: LISTED, 'a.tar.xz.json': METADATA })
  const delivery = plainDelivery()
  t.equal(await delivery.listedSum(join(dir, 'a.tar.xz')), hexOf(sha256('archive')))
  t.strictSame(await delivery.readMetadata(join(dir, 'a.tar.xz')), SAMPLE_RECORD)
  t.match(await delivery.manifestOf(dir), { text: LISTED })
})

t.test('delivery: without a manifest all is taken', async (t) => {
  const dir = t.testdir({ 'a.tar.xz.json': METADATA })
  const delivery = plainDelivery()
  t.equal(await delivery.manifestOf(dir), undefined)
  t.equal(await delivery.listedSum(join(dir, 'a.tar.xz')), undefined)
  t.strictSame(await delivery.readMetadata(join(dir, 'a.tar.xz')), SAMPLE_RECORD)
  t.equal(await delivery.readMetadata(join(dir, 'b.tar.xz')), undefined)
})

// what, lines of SHA256SUMS
const UNLISTED: [string, string][] = [
  ['nothing', ''],
  ['no line that is one', '# no checksums here\n'],
  ['another file', line('b.tar.xz', 'b')],
]

for (const [what, sums] of UNLISTED) {
  t.test(`delivery: SHA256SUMS with ${what}`, async (t) => {
    const dir = t.testdir({ SHA256SUMS: sums, 'a.tar.xz.json': METADATA, list: 'a:1' })
    const archive = join(dir, 'a.tar.xz')
    const strict = plainDelivery()
    const refusal = { code: 'NOT_LISTED', hint: /--unlisted$/ }
    await t.rejects(strict.listedSum(archive), {
      ...refusal,
      message: `check "${archive}": SHA256SUMS beside it does not list it`,
    })
    await t.rejects(strict.readMetadata(archive), refusal)
    await t.rejects(strict.readFile(join(dir, 'list'), 10), refusal)
    t.equal(await strict.readFile(join(dir, 'none'), 10), undefined)
    const lenient = new Delivery({ ...PLAIN, unlisted: true })
    t.equal(await lenient.listedSum(archive), undefined)
    t.strictSame(await lenient.readMetadata(archive), SAMPLE_RECORD)
  })
}

t.test('delivery: metadata of another sum, also where the archive is not listed', async (t) => {
  const sums = line('a.tar.xz.json', 'other') + line('list', 'other')
  const dir = t.testdir({ SHA256SUMS: sums, 'a.tar.xz.json': METADATA, list: 'a:1' })
  for (const unlisted of [false, true]) {
    const delivery = new Delivery({ ...PLAIN, unlisted })
    await t.rejects(delivery.readMetadata(join(dir, 'a.tar.xz')), {
      code: 'MISMATCH',
      message: 'check sha256 of the metadata, by SHA256SUMS: got ',
    })
    await t.rejects(delivery.readFile(join(dir, 'list'), 10), {
      code: 'MISMATCH',
      message: 'check sha256 of "list", by SHA256SUMS: got ',
    })
  }
})

t.test('delivery: two sums of one name', async (t) => {
  const twice = `${LISTED}${OTHER} *./a.tar.xz\n`
  const dir = t.testdir({ SHA256SUMS: twice })
  await t.rejects(plainDelivery().listedSum(join(dir, 'b.tar.xz')), {
    code: 'MISMATCH',
    message: `read "${join(dir, 'SHA256SUMS')}": it has two sums of "a.tar.xz"`,
  })
  const again = t.testdir({ SHA256SUMS: LISTED + LISTED })
  await t.resolves(plainDelivery().manifestOf(again))
})

t.test('delivery: the value that was carried another way', async (t) => {
  const dir = t.testdir({ SHA256SUMS: LISTED, other: {} })
  const [other, own] = [join(dir, 'other'), hexOf(sha256(LISTED))]
  const wanted = (sumsSha256: string, bases: string[] = []) =>
    new Delivery({ dir, bases, sumsSha256, unlisted: false })
  await t.resolves(wanted(own).manifestOf(dir))
  await t.rejects(wanted(OTHER).manifestOf(dir), {
    code: 'MISMATCH',
    message: `check "${join(dir, 'SHA256SUMS')}": sha256: got ${own}, want ${OTHER}`,
  })
  const message = `it is not there, want ${own}`
  await t.rejects(wanted(own).manifestOf(other), { code: 'MISMATCH', message })
  // What is taken from a base is verified by what needs it; but the delivery itself is none.
  t.equal(await wanted(own, [other]).manifestOf(other), undefined)
  await t.rejects(wanted(OTHER, [`${dir}/.`]).manifestOf(dir), { code: 'MISMATCH' })
})

t.test('delivery: more lines than files that one may have', async (t) => {
  const dir = t.testdir({ SHA256SUMS: LISTED.repeat(10_001) })
  const want = { code: 'BAD_FILE', message: 'got 20003 lines, want at most 20000' }
  await t.rejects(plainDelivery().manifestOf(dir), want)
})

t.test('delivery: what is no small regular file', async (t) => {
  const dir = t.testdir({ 'a.tar.xz.json': {}, SHA256SUMS: t.fixture('symlink', '/etc/passwd') })
  await t.rejects(plainDelivery().manifestOf(dir), { code: 'BAD_FILE' })
  const other = t.testdir({ 'a.tar.xz.json': {} })
  await t.rejects(plainDelivery().readMetadata(join(other, 'a.tar.xz')), { code: 'BAD_FILE' })
})

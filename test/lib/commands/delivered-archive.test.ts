import { join } from 'node:path'
import t from 'tap'

import { findDelivered } from '../../../lib/commands/delivered-archive.ts'
import { Delivery } from '../../../lib/delivery/delivery.ts'
import { formatMetadata } from '../../../lib/delivery/metadata.ts'
import { hexOf, sha256 } from '../../fixtures/digest.ts'
import { PLAIN, plainDelivery } from '../../fixtures/plain-delivery.ts'
import { recordOfBytes } from '../../fixtures/sample-record.ts'

const NAME = 'a.tar.xz'
const RECORD = recordOfBytes(NAME, 'archive')
const METADATA = formatMetadata(RECORD)
const OWN = `${RECORD.archive.sha256}  ${NAME}\n`
const OF_METADATA = `${hexOf(sha256(METADATA))}  ${NAME}.json\n`
const FILES = { [NAME]: 'archive', [`${NAME}.json`]: METADATA }

// what, SHA256SUMS, what is not listed
const LISTINGS: [string, string, string[]][] = [
  ['both', OWN + OF_METADATA, []],
  ['the archive', OWN, ['SHA256SUMS does not list its metadata']],
  ['the metadata', OF_METADATA, ['SHA256SUMS does not list it']],
  ['neither', '', ['SHA256SUMS does not list it', 'SHA256SUMS does not list its metadata']],
]

for (const [what, sums, unlisted] of LISTINGS) {
  t.test(`findDelivered: SHA256SUMS lists ${what}`, async (t) => {
    const dir = t.testdir({ ...FILES, SHA256SUMS: sums })
    const target = { archive: join(dir, NAME), label: NAME }
    const found = findDelivered(target, plainDelivery())
    if (unlisted.length > 0) await t.rejects(found, { code: 'NOT_LISTED' })
    else {
      const { unlisted: none, ...others } = await found
      t.strictSame(none, [])
      t.match(others, { metadata: RECORD, archiveBytes: 7 })
    }
    const lenient = new Delivery({ ...PLAIN, unlisted: true })
    t.strictSame((await findDelivered(target, lenient)).unlisted, unlisted)
  })
}

t.test('findDelivered: there is no SHA256SUMS', async (t) => {
  const target = { archive: join(t.testdir(FILES), NAME), label: NAME }
  const found = await findDelivered(target, plainDelivery())
  t.strictSame(found.unlisted, [])
  t.match(found, { listed: undefined, lost: undefined, metadata: RECORD })
})

t.test('findDelivered: metadata that are of another archive, by SHA256SUMS', async (t) => {
  const sums = `${'f'.repeat(64)}  ${NAME}\n${OF_METADATA}`
  const target = { archive: join(t.testdir({ ...FILES, SHA256SUMS: sums }), NAME), label: NAME }
  await t.rejects(findDelivered(target, plainDelivery()), {
    code: 'MISMATCH',
    message: 'check sha256 in the metadata, by SHA256SUMS: got ',
  })
})

t.test('findDelivered: an archive of another size than its metadata tell', async (t) => {
  const dir = t.testdir({ ...FILES, [NAME]: 'cut' })
  const found = findDelivered({ archive: join(dir, NAME), label: NAME }, plainDelivery())
  const message = 'check size of the archive: got 3, want 7'
  await t.rejects(found, { code: 'MISMATCH', message })
})

t.test('findDelivered: metadata that are listed and gone', async (t) => {
  const dir = t.testdir({ [NAME]: 'archive', SHA256SUMS: OWN + OF_METADATA })
  const found = await findDelivered({ archive: join(dir, NAME), label: NAME }, plainDelivery())
  t.match(found, {
    metadata: undefined,
    lost: {
      code: 'NO_RECORD',
      message: `"${NAME}.json" is missing: SHA256SUMS lists it`,
    },
  })
})

// node-tar reads the same headers and pax records: where the two differ, one of them
// is wrong, or the difference has its reason here.
import * as fc from 'fast-check'
import t from 'tap'
import { Header, Pax } from 'tar'

import { ToolError } from '../../../lib/core/errors.ts'
import { readHeader } from '../../../lib/tar/header.ts'
import { readMeta } from '../../../lib/tar/pax.ts'
import { tarHeader, type TarEntry } from '../../fixtures/tar-builder.ts'

const RUNS = 5000

const text = (maxLength: number): fc.Arbitrary<string> =>
  fc.string({
    minLength: 1,
    maxLength,
    unit: fc.constantFrom('a', 'Z', '0', '.', '-', '/', 'ä', ' '),
  })

const Entry: fc.Arbitrary<TarEntry> = fc
  .record({
    path: text(60).map((name) => `n${name}`),
    type: fc.constantFrom('file', 'hardlink', 'symlink', 'character', 'directory', 'fifo'),
    linkPath: text(40),
    sizeBytes: fc.oneof(fc.nat(2000), fc.constantFrom(8 ** 11 - 1, 8 ** 11, 2 ** 40 + 1)),
    base256: fc.boolean(),
    mtime: fc.nat(2 ** 31 - 1),
  })
  .map((entry) => ({ ...entry, base256: entry.base256 || entry.sizeBytes >= 8 ** 11 }))

// One flag means one type in both; a path that ends in a slash is a directory to
// node-tar, and a file of no bytes to all engines.
const NAMES: Readonly<Record<string, string>> = {
  '0': 'File',
  '1': 'Link',
  '2': 'SymbolicLink',
  '3': 'CharacterDevice',
  '5': 'Directory',
  '6': 'FIFO',
}

function compare(block: Buffer): void {
  const theirs = new Header(block)
  const ours = readHeader(block, 0)
  fc.pre(ours !== undefined)
  const isOldDirectory = ours.type === '0' && ours.path.endsWith('/')
  const got = { path: ours.path, type: NAMES[ours.type], link: ours.linkPath }
  const type = isOldDirectory ? 'File' : theirs.type
  same(got, { path: theirs.path, type, link: theirs.linkpath })
  // What a link, a device or a directory claims to have is not there.
  if (ours.type === '0' && !isOldDirectory) same(ours.sizeBytes, theirs.size)
  same(theirs.cksumValid, true)
}

function same(got: unknown, want: unknown): void {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    throw new Error(`got ${JSON.stringify(got)}, node-tar has ${JSON.stringify(want)}`)
  }
}

t.test('readHeader: as node-tar reads it', async (t) => {
  fc.assert(
    fc.property(Entry, (entry) => compare(tarHeader(entry))),
    { numRuns: RUNS },
  )
  t.pass('all alike')
})

t.test('readHeader: one byte changed, its checksum is wrong for both', async (t) => {
  const property = fc.property(
    Entry,
    fc.nat(511),
    fc.integer({ min: 1, max: 255 }),
    (entry, at, change) => {
      // In the checksum itself NULs may stand before the digits, as Go's archive/tar has it;
      // node-tar stops at the first.
      fc.pre(at < 148 || at >= 156)
      const block = tarHeader(entry)
      block[at] = (block[at] ?? 0) ^ change
      try {
        readHeader(block, 0)
        return false
      } catch (error) {
        return error instanceof ToolError && !isValidToNodeTar(block)
      }
    },
  )
  fc.assert(property, { numRuns: RUNS })
  t.pass('both say so')
})

// It throws where a number is no valid one.
function isValidToNodeTar(block: Buffer): boolean {
  try {
    return new Header(block).cksumValid
  } catch {
    return false
  }
}

const Value = fc.string({ maxLength: 80, unit: fc.constantFrom('a', '=', 'ä', ' ', '/', '0') })

t.test('readMeta: pax records as node-tar reads them', async (t) => {
  const property = fc.property(Value, Value, fc.nat(2 ** 45), (path, linkpath, size) => {
    const records = Buffer.from([new Pax({ path, linkpath, size }).encodeBody()].join(''))
    const theirs = Pax.parse(records.toString())
    const ours = readMeta('x', records)
    same([ours.path, ours.linkPath, ours.sizeBytes], [theirs.path, theirs.linkpath, theirs.size])
  })
  fc.assert(property, { numRuns: RUNS })
  t.pass('all alike')
})

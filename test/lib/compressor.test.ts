import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'

import type { Child } from '../../lib/child.ts'
import {
  findCompressor,
  startCompressor,
  startDecompressor,
  type Compressor,
} from '../../lib/compressor.ts'
import { sh } from '../fixtures/run.ts'
import { chunked, tar } from '../fixtures/tar-builder.ts'

const SYSTEM_PATH = process.env['PATH']

/** Makes this directory all of PATH until the test ends. */
function usePath(t: Test, dir: string): void {
  t.teardown(() => {
    process.env['PATH'] = SYSTEM_PATH
  })
  process.env['PATH'] = dir
}

/** @returns a directory with programs of these scripts. */
async function programs(t: Test, scripts: Record<string, string>): Promise<string> {
  const dir = t.testdir({})
  for (const [name, script] of Object.entries(scripts)) {
    await writeFile(join(dir, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  }
  return dir
}

async function usePrograms(t: Test, names: readonly string[]): Promise<void> {
  const dir = t.testdir({})
  for (const name of names) await symlink(await sh(`command -v ${name}`), join(dir, name))
  usePath(t, dir)
}

/** Sends bytes through a child. */
async function through(child: Child, bytes: Buffer, chunkBytes = bytes.length): Promise<Buffer> {
  const out = buffer(child.stdout)
  for (const chunk of chunked(bytes, chunkBytes)) child.stdin.write(chunk)
  child.stdin.end()
  const [result] = await Promise.all([out, child.exited])
  return result
}

const FOUND: [string[], object][] = [
  [['pixz', 'xz'], { name: 'pixz', version: /^\d+\.\d+/ }],
  [['pixz'], { name: 'pixz', version: /^\d+\.\d+/ }],
  [['xz'], { name: 'xz', version: /^\d+\.\d+\.\d+/ }],
]

for (const [names, want] of FOUND) {
  t.test(`findCompressor: with ${names.join(' and ')} on PATH`, async (t) => {
    await usePrograms(t, names)
    t.match(await findCompressor(), want)
  })
}

t.test('findCompressor: with neither on PATH', async (t) => {
  await usePrograms(t, [])
  await t.rejects(findCompressor(), {
    code: 'NO_COMPRESSOR',
    message: 'find a compressor: neither pixz nor xz is on PATH',
  })
})

t.test('findCompressor: one that does not tell its version', async (t) => {
  usePath(t, await programs(t, { xz: 'exit 0' }))
  t.strictSame(await findCompressor(), { name: 'xz', version: 'unknown' })
})

const PIXZ: Compressor = { name: 'pixz', version: '1.0.7' }
const XZ: Compressor = { name: 'xz', version: '5.4.1' }
const OLD_XZ: Compressor = { name: 'xz', version: '5.2.5' }
const UNKNOWN_XZ: Compressor = { name: 'xz', version: 'unknown' }
const BYTES = tar([
  { path: 'a', content: randomBytes(300_000) },
  { path: 'b', content: 'x'.repeat(9e5) },
])

for (const from of [PIXZ, XZ]) {
  for (const to of [PIXZ, XZ, OLD_XZ, UNKNOWN_XZ]) {
    for (const threads of [undefined, 1, 2]) {
      const title = `${from.name} to ${to.name} ${to.version} with ${threads ?? 'all'} threads`
      t.test(`startCompressor, startDecompressor: ${title}`, async (t) => {
        const archive = await through(startCompressor(from, { level: 0, threads }), BYTES)
        t.ok(archive.length < BYTES.length)
        const child = startDecompressor(to, { threads, archive: 'a.tar.xz' })
        t.ok((await through(child, archive)).equals(BYTES))
      })
    }
  }

  t.test(`startCompressor: ${from.name}: the same bytes, however they come`, async (t) => {
    const [first, second] = await Promise.all(
      [BYTES.length, 10_007].map((size) =>
        through(startCompressor(from, { level: 1 }), BYTES, size),
      ),
    )
    t.ok(first && second?.equals(first))
  })

  t.test(`startCompressor: ${from.name}: a higher level is smaller`, async (t) => {
    const text = Buffer.from(await sh('seq 200000'))
    const [fast = 0, small = 0] = await Promise.all(
      [0, 9].map(async (level) => (await through(startCompressor(from, { level }), text)).length),
    )
    t.ok(small < fast, `${small} < ${fast}`)
  })

  t.test(`startDecompressor: ${from.name}: one archive after another is one tar`, async (t) => {
    const [head, tail] = [BYTES.subarray(0, 1000), BYTES.subarray(1000)]
    const parts = [head, tail].map((part) => through(startCompressor(XZ, { level: 0 }), part))
    const archive = Buffer.concat(await Promise.all(parts))
    const child = startDecompressor(from, { archive: 'a.tar.xz' })
    t.ok((await through(child, archive)).equals(BYTES))
  })
}

t.test('startCompressor: xz: one processor gives the same bytes as many', async (t) => {
  const archives = [1, 2].map(async (processors) => {
    const { startCompressor: start } = await t.mockImport<typeof import('../../lib/compressor.ts')>(
      '../../lib/compressor.ts',
      { 'node:os': { availableParallelism: () => processors } },
    )
    return through(start(XZ, { level: 0 }), BYTES)
  })
  const [one, two] = await Promise.all(archives)
  t.ok(one && two?.equals(one))
})

// what a pixz that fails does, what is told of it; it complains of every pipe
const DEATHS: [string, string][] = [
  ['echo Out of memory >&2; exit 1', 'Out of memory'],
  ['kill -9 $$', 'it ended with SIGKILL'],
  ['echo "can not seek in input: Illegal seek" >&2; kill -9 $$', 'it ended with SIGKILL'],
  ['echo "can not seek in input: Illegal seek" >&2; echo why >&2; exit 1', 'why'],
]

for (const [script, told] of DEATHS) {
  t.test(`startCompressor, startDecompressor: a failure is told: ${script}`, async (t) => {
    usePath(t, await programs(t, { pixz: script }))
    const children: [Child, string, string][] = [
      [startCompressor(PIXZ, { level: 6 }), 'COMPRESSOR_FAILED', 'compress'],
      [startDecompressor(PIXZ, { archive: 'a' }), 'BAD_ARCHIVE', 'decompress "a"'],
    ]
    for (const [child, code, action] of children) {
      child.stdout.resume()
      const message = new RegExp(`^${action}: pixz: ${told}$`)
      await t.rejects(child.exited, { code, message })
    }
  })
}

// what, how it is made of a good one
const DAMAGES: [string, (archive: Buffer) => Buffer][] = [
  ['is none', () => Buffer.from('no archive at all, but long enough to look at')],
  ['is cut off', (archive) => archive.subarray(0, archive.length / 2)],
  ['has one bit changed', (archive) => {
    const changed = Buffer.from(archive)
    changed[100_000] = (changed[100_000] ?? 0) ^ 1
    return changed
  }],
] // prettier-ignore

for (const compressor of [PIXZ, XZ]) {
  for (const [what, damage] of DAMAGES) {
    t.test(`startDecompressor: ${compressor.name}: an archive that ${what}`, async (t) => {
      const archive = damage(await through(startCompressor(XZ, { level: 0 }), BYTES))
      const child = startDecompressor(compressor, { archive: 'a.tar.xz' })
      child.stdin.on('error', () => {})
      await t.rejects(through(child, archive), {
        code: 'BAD_ARCHIVE',
        message: new RegExp(`^decompress "a\\.tar\\.xz": ${compressor.name}: (?!.*Illegal seek).`),
      })
    })
  }
}

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { sendArchive, type SendOptions } from '../../lib/archive-sender.ts'
import { startChild, type Child } from '../../lib/child.ts'
import { ToolError } from '../../lib/errors.ts'
import { requestLoad } from '../../lib/load-request.ts'
import { COMPRESSORS, readers, write } from '../fixtures/archive-writing.ts'
import { listen } from '../fixtures/daemon-socket.ts'
import { hexOf, sha256 } from '../fixtures/digest.ts'
import { pseudoRandom } from '../fixtures/sample-layers.ts'
import { tar } from '../fixtures/tar-builder.ts'

const MIB = 1024 * 1024
const BYTES = tar([{ path: 'a', content: pseudoRandom('a', 3 * MIB) }])

const written = t.testdir({})
await write(join(written, 'a.tar.xz'), BYTES)
const ARCHIVE = await readFile(join(written, 'a.tar.xz'))

/** An engine that keeps what it got. */
function startSink(path: string): Child {
  const engine = startChild('tee', [path], {
    explain: (stderr) => new ToolError('ENGINE_FAILED', stderr),
  })
  engine.stdout.resume()
  return engine
}

async function prepare(t: Test, archive = ARCHIVE): Promise<{ options: SendOptions; got: string }> {
  const dir = t.testdir({})
  await writeFile(join(dir, 'a.tar.xz'), archive)
  const options = {
    archive: join(dir, 'a.tar.xz'),
    decompressors: readers(),
    threads: 2,
    prove: async () => {},
    onProgress: () => {},
    signal: new AbortController().signal,
  }
  return { options, got: join(dir, 'got') }
}

for (const compressor of COMPRESSORS) {
  t.test(
    `sendArchive: ${compressor.name}: the engine gets the tar, once it is proven`,
    async (t) => {
      const { options, got } = await prepare(t)
      const proven: object[] = []
      const seen: number[] = []
      const prove: SendOptions['prove'] = async (archive) => void proven.push(archive)
      const onProgress = (bytes: number): void => void seen.push(bytes)
      await sendArchive({ ...options, decompressors: readers(compressor), prove, onProgress }, () =>
        startSink(got),
      )
      t.ok((await readFile(got)).equals(BYTES))
      t.strictSame(proven, [{ sizeBytes: ARCHIVE.length, sha256: hexOf(sha256(ARCHIVE)) }])
      t.equal(seen.at(-1), ARCHIVE.length)
    },
  )

  t.test(`sendArchive: ${compressor.name}: what is not proven has no end`, async (t) => {
    const { options, got } = await prepare(t)
    const prove = (): never => {
      throw new ToolError('MISMATCH', 'it was changed')
    }
    const engine = startSink(got)
    await t.rejects(
      sendArchive({ ...options, decompressors: readers(compressor), prove }, () => engine),
      { code: 'MISMATCH' },
    )
    await t.rejects(engine.exited, { code: 'INTERRUPTED' })
    t.ok((await readFile(got)).length <= BYTES.length - MIB)
  })

  t.test(`sendArchive: ${compressor.name}: damage that the decompressor finds`, async (t) => {
    const changed = Buffer.from(ARCHIVE)
    changed[MIB] = (changed[MIB] ?? 0) ^ 1
    for (const archive of [changed, ARCHIVE.subarray(0, 2 * MIB)]) {
      const { options, got } = await prepare(t, archive)
      const engine = startSink(got)
      await t.rejects(
        sendArchive({ ...options, decompressors: readers(compressor) }, () => engine),
        { code: 'BAD_ARCHIVE' },
      )
      await t.rejects(engine.exited, { code: 'INTERRUPTED' })
      t.ok((await readFile(got)).length < BYTES.length - 1024)
    }
  })
}

// Some write to the socket themselves, some within this process.
for (const compressor of [...COMPRESSORS, { name: 'builtin', version: '5.8.1' }] as const) {
  t.test(`sendArchive: ${compressor.name}: a daemon gets the tar, once it is proven`, async (t) => {
    const { options } = await prepare(t)
    const got: Buffer[] = []
    let over = Promise.withResolvers<void>()
    const socket = await listen(t, (asked, answer) => {
      asked.on('data', (chunk: Buffer) => got.push(chunk))
      asked.on('end', () => answer.end()).on('close', () => over.resolve())
      asked.on('error', () => {})
    })
    const all = { ...options, decompressors: readers(compressor) }
    await sendArchive(all, () => requestLoad(socket, 'a', BYTES.length))
    await over.promise
    t.ok(Buffer.concat(got).equals(BYTES))

    got.length = 0
    over = Promise.withResolvers()
    const prove = (): never => {
      throw new ToolError('MISMATCH', 'it was changed')
    }
    const load = requestLoad(socket, 'a', BYTES.length)
    await t.rejects(
      sendArchive({ ...all, prove }, () => load),
      { code: 'MISMATCH' },
    )
    await t.rejects(load.exited, { code: 'INTERRUPTED' })
    await over.promise
    t.ok(Buffer.concat(got).length <= BYTES.length - MIB)
  })
}

t.test(
  'sendArchive: an engine that fails, a file that is gone, a run that is told to stop',
  async (t) => {
    const { options, got } = await prepare(t)
    const full = startChild('sh', ['-c', 'read -r _; echo full >&2; exit 1'], {
      explain: (stderr) => new ToolError('ENGINE_FAILED', stderr),
    })
    full.stdout.resume()
    await t.rejects(
      sendArchive(options, () => full),
      { code: 'ENGINE_FAILED', message: 'full' },
    )
    const gone = { ...options, archive: `${options.archive}.gone` }
    await t.rejects(
      sendArchive(gone, () => startSink(got)),
      { code: 'ENOENT' },
    )
    await t.rejects(
      sendArchive(options, () => requestLoad(`${got}.none`, 'a', BYTES.length)),
      { code: 'ENGINE_DOWN' },
    )
    const stopped = { ...options, signal: AbortSignal.abort() }
    await t.rejects(
      sendArchive(stopped, () => startSink(got)),
      { code: 'INTERRUPTED' },
    )
  },
)

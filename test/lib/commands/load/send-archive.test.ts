import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { sendArchive, type SendOptions } from '../../../../lib/commands/load/send-archive.ts'
import { ToolError } from '../../../../lib/core/errors.ts'
import { requestLoad, type LoadRequest } from '../../../../lib/engine/docker-api/load.ts'
import { COMPRESSORS, readers, write } from '../../../fixtures/archive-writing.ts'
import { listen } from '../../../fixtures/daemon-socket.ts'
import { hexOf, sha256 } from '../../../fixtures/digest.ts'
import { pseudoRandom } from '../../../fixtures/sample-layers.ts'
import { tar } from '../../../fixtures/tar-builder.ts'

const MIB = 1024 * 1024
const BYTES = tar([{ path: 'a', content: pseudoRandom('a', 3 * MIB) }])

const written = t.testdir({})
await write(join(written, 'a.tar.xz'), BYTES)
const ARCHIVE = await readFile(join(written, 'a.tar.xz'))

/** A daemon that keeps what it got. */
async function startDaemon(t: Test) {
  const chunks: Buffer[] = []
  const over = Promise.withResolvers<void>()
  const socket = await listen(t, (asked, answer) => {
    asked.on('data', (chunk: Buffer) => chunks.push(chunk))
    asked.on('end', () => answer.end()).on('close', () => over.resolve())
    asked.on('error', () => {})
  })
  const got = async (): Promise<Buffer> => {
    await over.promise
    return Buffer.concat(chunks)
  }
  return { load: requestLoad(socket, 'a', BYTES.length), got }
}

async function prepare(t: Test, archive = ARCHIVE): Promise<SendOptions> {
  const dir = t.testdir({})
  await writeFile(join(dir, 'a.tar.xz'), archive)
  return {
    archive: join(dir, 'a.tar.xz'),
    decompressors: readers(),
    threads: 2,
    verify: async () => {},
    onProgress: () => {},
    signal: new AbortController().signal,
  }
}

// Some write to the socket themselves, some within this process.
for (const compressor of [...COMPRESSORS, { name: 'builtin', version: '5.8.1' }] as const) {
  const decompressors = readers(compressor)

  t.test(
    `sendArchive: ${compressor.name}: the daemon gets the tar, once it is verified`,
    async (t) => {
      const options = await prepare(t)
      const { load, got } = await startDaemon(t)
      const verified: object[] = []
      const seen: number[] = []
      const verify: SendOptions['verify'] = async (archive) => void verified.push(archive)
      const onProgress: SendOptions['onProgress'] = (to) => void seen.push(to.archiveBytes)
      await sendArchive({ ...options, decompressors, verify, onProgress }, { connect: () => load })
      t.ok((await got()).equals(BYTES))
      t.strictSame(verified, [{ sizeBytes: ARCHIVE.length, sha256: hexOf(sha256(ARCHIVE)) }])
      t.equal(seen.at(-1), ARCHIVE.length)
    },
  )

  t.test(`sendArchive: ${compressor.name}: what is not verified has no end`, async (t) => {
    const options = await prepare(t)
    const { load, got } = await startDaemon(t)
    const verify = (): never => {
      throw new ToolError('MISMATCH', 'it was changed')
    }
    const sending = sendArchive({ ...options, decompressors, verify }, { connect: () => load })
    await t.rejects(sending, { code: 'MISMATCH' })
    await t.rejects(load.exited, { code: 'INTERRUPTED' })
    t.ok((await got()).length <= BYTES.length - MIB)
  })

  t.test(`sendArchive: ${compressor.name}: damage that the decompressor finds`, async (t) => {
    const changed = Buffer.from(ARCHIVE)
    changed[MIB] = (changed[MIB] ?? 0) ^ 1
    for (const archive of [changed, ARCHIVE.subarray(0, 2 * MIB)]) {
      const options = await prepare(t, archive)
      const { load, got } = await startDaemon(t)
      const sending = sendArchive({ ...options, decompressors }, { connect: () => load })
      await t.rejects(sending, { code: 'BAD_ARCHIVE' })
      await t.rejects(load.exited, { code: 'INTERRUPTED' })
      t.ok((await got()).length < BYTES.length - 1024)
    }
  })
}

t.test(
  'sendArchive: a daemon that fails, a file that is gone, a run that is told to stop',
  async (t) => {
    const options = await prepare(t)
    const full = await listen(t, (asked, answer) => {
      answer.writeHead(500)
      asked.resume().on('end', () => answer.end('{"message":"full"}'))
    })
    const toFull = (): LoadRequest => requestLoad(full, 'a', BYTES.length)
    await t.rejects(sendArchive(options, { connect: toFull }), {
      code: 'ENGINE_FAILED',
      message: /full/,
    })
    const gone = { ...options, archive: `${options.archive}.gone` }
    await t.rejects(sendArchive(gone, { connect: toFull }), { code: 'ENOENT' })
    const toNone = (): LoadRequest => requestLoad(`${full}.none`, 'a', BYTES.length)
    await t.rejects(sendArchive(options, { connect: toNone }), { code: 'ENGINE_DOWN' })
    const stopped = { ...options, signal: AbortSignal.abort() }
    await t.rejects(sendArchive(stopped, { connect: toFull }), { code: 'INTERRUPTED' })
  },
)

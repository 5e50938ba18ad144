// The thread that decodes blocks of .xz, one after the other. Each block comes as a small
// stream of its own, so liblzma verifies its filters, sizes and check. Input and output
// go through in pieces, so liblzma's memory here is the dictionary and two buffers,
// whatever size a block claims.
import { parentPort } from 'node:worker_threads'
import {
  LZMA_OK,
  LZMA_RUN,
  LZMA_STREAM_END,
  LZMA_BUF_ERROR,
  WasmLzmaStream,
  code,
  copyToWasm,
  decoderInit,
  end,
  initModule,
  type LZMAModule,
} from 'node-liblzma/wasm'
import createLzma from 'node-liblzma/wasm/liblzma.js'

import type { BlockFault } from './error.ts'
import { INPUT_BYTES, type FromWorker, type ToWorker } from './worker-messages.ts'

/** The bytes of liblzma.wasm in base64. Only scripts/build defines it. */
declare const BUILD_LIBLZMA: string

const OUTPUT_BYTES = 1024 ** 2
// The most memory for one block: WebAssembly has 256 MiB in all; `xz -9` takes 65 MiB.
const MEMORY_BYTES = 193 * 1024 ** 2

interface Block {
  readonly sizeBytes: number
  readonly windowBytes: number
  inputs: { readonly bytes: Uint8Array; readonly isLast: boolean }[]
  hasAll: boolean
  sentBytes: number
  drainedBytes: number
  /** Whether the last call filled the output buffer: more may come without more input. */
  isFull: boolean
}

async function start(): Promise<void> {
  const lzma =
    typeof BUILD_LIBLZMA === 'undefined' ? await initModule() : await initModule(loadBuilt)
  const decode = createDecoder(lzma)
  let block: Block | undefined
  parentPort?.on('message', (message: ToWorker) => {
    if (message.kind === 'begin') {
      const { sizeBytes, windowBytes } = message
      const counts = { hasAll: false, sentBytes: 0, drainedBytes: 0, isFull: false }
      block = { sizeBytes, windowBytes, inputs: [], ...counts }
      decode.begin()
    } else if (block) {
      // Messages for a block that has failed are ignored: then there is no block.
      if (message.kind === 'input') block.inputs.push(message)
      else block.drainedBytes += message.bytes
    }
    if (block && decode.run(block)) block = undefined
  })
}

async function loadBuilt(): Promise<LZMAModule> {
  const wasmBinary = Buffer.from(BUILD_LIBLZMA, 'base64')
  return createLzma({ wasmBinary, locateFile: (name: string) => name })
}

function tell(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer)
}

interface Decoder {
  begin(): void
  /** Decodes as far as it can. @returns whether the block is done, whole or failed */
  run(block: Block): boolean
}

function createDecoder(lzma: LZMAModule): Decoder {
  const stream = new WasmLzmaStream(lzma)
  const input = copyToWasm(lzma, new Uint8Array(INPUT_BYTES))
  const output = copyToWasm(lzma, new Uint8Array(OUTPUT_BYTES))

  function flush(block: Block): void {
    const length = OUTPUT_BYTES - stream.availOut
    if (length === 0) return
    const bytes = lzma.HEAPU8.slice(output, output + length)
    block.sentBytes += length
    stream.setOutput(output, OUTPUT_BYTES)
    tell({ kind: 'output', bytes }, [bytes.buffer])
  }
  function feed(block: Block): boolean {
    const next = block.inputs.shift()
    if (!next) return false
    lzma.HEAPU8.set(next.bytes, input)
    stream.setInput(input, next.bytes.length)
    block.hasAll = next.isLast
    tell({ kind: 'taken', bytes: next.bytes.length })
    // This frees the buffer at once; hundreds would wait for the garbage collector otherwise.
    if (next.bytes.buffer instanceof ArrayBuffer) next.bytes.buffer.transfer(0)
    return true
  }
  // Returns undefined if the block is not done yet.
  function step(block: Block): BlockFault | 'whole' | undefined {
    const result = code(stream, LZMA_RUN)
    block.isFull = stream.availOut === 0
    const madeBytes = block.sentBytes + OUTPUT_BYTES - stream.availOut
    if (madeBytes > block.sizeBytes) return 'too long'
    if (result === LZMA_STREAM_END) {
      flush(block)
      return block.hasAll && stream.availIn === 0 ? 'whole' : 'too short'
    }
    if (result !== LZMA_OK && result !== LZMA_BUF_ERROR) return result
    if (block.isFull) flush(block)
    return undefined
  }
  return {
    begin() {
      // Without this, the dictionary of the block before stays in memory too.
      end(stream)
      decoderInit(stream, MEMORY_BYTES)
      stream.setInput(input, 0)
      stream.setOutput(output, OUTPUT_BYTES)
    },
    run(block) {
      for (;;) {
        if (block.sentBytes - block.drainedBytes >= block.windowBytes) return false
        if (stream.availIn === 0 && !block.isFull && !feed(block)) {
          if (!block.hasAll) return false
          tell({ kind: 'done', fault: 'cut off' })
          return true
        }
        const result = step(block)
        if (result === undefined) continue
        tell(result === 'whole' ? { kind: 'done' } : { kind: 'done', fault: result })
        return true
      }
    },
  }
}

void start()

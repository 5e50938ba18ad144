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
  const decoder = new BlockDecoder(lzma)
  let block: Block | undefined
  parentPort?.on('message', (message: ToWorker) => {
    if (message.kind === 'begin') {
      const { sizeBytes, windowBytes } = message
      const counts = { hasAll: false, sentBytes: 0, drainedBytes: 0, isFull: false }
      block = { sizeBytes, windowBytes, inputs: [], ...counts }
      decoder.begin()
    } else if (block) {
      // Messages for a block that has failed are ignored: then there is no block.
      if (message.kind === 'input') block.inputs.push(message)
      else block.drainedBytes += message.bytes
    }
    if (block && decoder.run(block)) block = undefined
  })
}

async function loadBuilt(): Promise<LZMAModule> {
  const wasmBinary = Buffer.from(BUILD_LIBLZMA, 'base64')
  return createLzma({ wasmBinary, locateFile: (name: string) => name })
}

function tell(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer)
}

/** Decodes one block after the other, in memory that it takes once. */
class BlockDecoder {
  readonly #lzma: LZMAModule
  readonly #stream: WasmLzmaStream
  /** Where the buffers are in the memory of liblzma. */
  readonly #input: number
  readonly #output: number

  constructor(lzma: LZMAModule) {
    this.#lzma = lzma
    this.#stream = new WasmLzmaStream(lzma)
    this.#input = copyToWasm(lzma, new Uint8Array(INPUT_BYTES))
    this.#output = copyToWasm(lzma, new Uint8Array(OUTPUT_BYTES))
  }

  begin(): void {
    // Without this, the dictionary of the block before stays in memory too.
    end(this.#stream)
    decoderInit(this.#stream, MEMORY_BYTES)
    this.#stream.setInput(this.#input, 0)
    this.#stream.setOutput(this.#output, OUTPUT_BYTES)
  }

  /** Decodes as far as it can. @returns whether the block is done, whole or failed */
  run(block: Block): boolean {
    for (;;) {
      if (block.sentBytes - block.drainedBytes >= block.windowBytes) return false
      if (this.#stream.availIn === 0 && !block.isFull && !this.#feed(block)) {
        if (!block.hasAll) return false
        tell({ kind: 'done', fault: 'cut off' })
        return true
      }
      const result = this.#step(block)
      if (result === undefined) continue
      tell(result === 'whole' ? { kind: 'done' } : { kind: 'done', fault: result })
      return true
    }
  }

  #feed(block: Block): boolean {
    const next = block.inputs.shift()
    if (!next) return false
    this.#lzma.HEAPU8.set(next.bytes, this.#input)
    this.#stream.setInput(this.#input, next.bytes.length)
    block.hasAll = next.isLast
    tell({ kind: 'taken', bytes: next.bytes.length })
    // This frees the buffer at once; hundreds would wait for the garbage collector otherwise.
    if (next.bytes.buffer instanceof ArrayBuffer) next.bytes.buffer.transfer(0)
    return true
  }

  // Returns undefined if the block is not done yet.
  #step(block: Block): BlockFault | 'whole' | undefined {
    const result = code(this.#stream, LZMA_RUN)
    block.isFull = this.#stream.availOut === 0
    const madeBytes = block.sentBytes + OUTPUT_BYTES - this.#stream.availOut
    if (madeBytes > block.sizeBytes) return 'too long'
    if (result === LZMA_STREAM_END) {
      this.#flush(block)
      return block.hasAll && this.#stream.availIn === 0 ? 'whole' : 'too short'
    }
    if (result !== LZMA_OK && result !== LZMA_BUF_ERROR) return result
    if (block.isFull) this.#flush(block)
    return undefined
  }

  #flush(block: Block): void {
    const length = OUTPUT_BYTES - this.#stream.availOut
    if (length === 0) return
    const bytes = this.#lzma.HEAPU8.slice(this.#output, this.#output + length)
    block.sentBytes += length
    this.#stream.setOutput(this.#output, OUTPUT_BYTES)
    tell({ kind: 'output', bytes }, [bytes.buffer])
  }
}

void start()

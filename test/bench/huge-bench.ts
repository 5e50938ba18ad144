// A layer above 8 GiB, where the plain size field of a tar header ends, through
// compress, load and verify. Verify is last and against the engine, so that it
// reads the header that the engine itself writes for such a layer, too.
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

import type { Program } from '../fixtures/run.ts'
import { writeHugeTar } from './huge-tar.ts'
import { runProgram, say } from './measured-run.ts'
import { MEMORY_BOUND_BYTES } from './memory-bench.ts'
import { formatMiB, formatMs, type Row } from './result-table.ts'
import { checkDisk, removeImage, type Workbench } from './workbench.ts'

const REFERENCE = 'bench/huge:1.0'
const LAYER_BYTES = 8.1 * 1024 ** 3
// The engine holds the layer unpacked, and its tar while it loads or saves it.
const DISK_GIB = 20

/** Sends a layer of 8.1 GiB through compress, load and verify. */
export async function benchHuge(workbench: Workbench): Promise<Row[]> {
  await checkDisk(DISK_GIB)
  const engine = await workbench.engine()
  const dir = join(engine.dir, 'huge')
  const tar = join(dir, 'huge.tar')
  await mkdir(dir)
  say('  writing its tar')
  await writeHugeTar(tar, REFERENCE, LAYER_BYTES)
  const measure = async (program: Program, ...args: string[]): Promise<Row> => {
    say(`  ${program}`)
    const start = performance.now()
    const options = { env: engine.env, sampleMemory: true }
    const peakBytes = await runProgram(program, args, options)
    return {
      measure: `${program}, layer of ${(LAYER_BYTES / 1024 ** 3).toFixed(1)} GiB`,
      tool: `${formatMs(performance.now() - start)}, ${formatMiB(peakBytes)}`,
      bound: `succeeds, ≤ ${formatMiB(MEMORY_BOUND_BYTES)}`,
      held: peakBytes > 0 && peakBytes <= MEMORY_BOUND_BYTES,
    }
  }
  const rows = [
    await measure('compress_tars', '--level', '0', '--dir', dir, tar),
    await measure('load_compressed_tars', `${tar}.xz`),
    await measure('verify_checksums', '--against', 'engine', `${tar}.xz`),
  ]
  await removeImage({ reference: REFERENCE, engine, dir, archive: `${tar}.xz` })
  await rm(dir, { recursive: true })
  return rows
}

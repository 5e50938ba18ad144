// How much memory the tool's own process takes at most while a large image
// goes through it. Level 0, so that the bytes come fast and the run is short.
import { rm } from 'node:fs/promises'

import type { Program } from '../fixtures/run.ts'
import { runProgram, say } from './measured-run.ts'
import { formatMiB, type Row } from './result-table.ts'
import { checkDisk, prepareImage, removeImage, type Workbench } from './workbench.ts'

/** What the tool's own process may take. */
export const MEMORY_BOUND_BYTES = 200 * 1024 ** 2
const IMAGE_BYTES = 3e9
// The image, its tar in the engine's temporary directory, and once more while it is built.
const DISK_GIB = 14

/** Sends an image of 3 GB through save, verify and load. */
export async function benchMemory(workbench: Workbench): Promise<Row[]> {
  await checkDisk(DISK_GIB)
  const image = await prepareImage(workbench, 'memory', IMAGE_BYTES)
  const { reference, dir, engine, archive } = image
  const measure = async (program: Program, ...args: string[]): Promise<Row> => {
    say(`  ${program}`)
    const options = { env: engine.env, sampleMemory: true }
    const peakBytes = await runProgram(program, [...args, '--dir', dir, reference], options)
    return {
      measure: `peak memory of ${program}, image of ${IMAGE_BYTES / 1e9} GB`,
      tool: formatMiB(peakBytes),
      bound: `≤ ${formatMiB(MEMORY_BOUND_BYTES)}`,
      held: peakBytes > 0 && peakBytes <= MEMORY_BOUND_BYTES,
    }
  }
  const rows = [
    await measure('save_compressed_tars', '--no-pull', '--level', '0'),
    await measure('verify_checksums', '--against', 'engine'),
  ]
  await removeImage(image)
  rows.push(await measure('load_compressed_tars'))
  await removeImage(image)
  await rm(archive)
  return rows
}

// Archives of the zst format against the plain pipeline of pixz, and their load
// against that of a tar which nobody has to decompress.
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { formatBytes } from '../../lib/core/format.ts'
import { runPipeline, runProgram } from './measured-run.ts'
import { formatRatio, timePairs, type PairTimes } from './paired-timing.ts'
import { formatMs, type Row } from './result-table.ts'
import { checkDisk, prepareImage, removeImage, type Workbench } from './workbench.ts'

const IMAGE_BYTES = 320e6
const ROUNDS = 5
const DISK_GIB = 6
const SAVE_BOUND = 1 / 8
const SIZE_BOUND = 1.08
const LOAD_BOUND = 1.1

/** Times saves and loads of the zst format, and weighs its archive. */
export async function benchZst(workbench: Workbench): Promise<Row[]> {
  await checkDisk(DISK_GIB)
  const image = await prepareImage(workbench, 'zst', IMAGE_BYTES)
  const { reference, dir, engine } = image
  const { env } = engine
  const at = `image of ${IMAGE_BYTES / 1e6} MB`
  const args = ['--no-pull', '--force', '--format', 'zst', '--dir', dir, reference]
  // Whoever is first would read the image from disk.
  await runPipeline(`docker save ${reference} >plain.tar`, { cwd: dir, env })
  const save = await timePairs({
    rounds: ROUNDS,
    before: () => runPipeline('sync', {}),
    tool: () => runProgram('save_compressed_tars', args, { env }),
    plain: () => runPipeline(`docker save ${reference} | pixz -t >plain.tar.xz`, { cwd: dir, env }),
  })
  const [archive, plain] = [image.archive.replace(/xz$/, 'zst'), join(dir, 'plain.tar.xz')]
  const rows = [
    row(`save as zst, ${at}; plain: pixz`, save, SAVE_BOUND),
    await compareSizes(at, archive, plain),
  ]
  const load = await timePairs({
    rounds: ROUNDS,
    before: () => removeImage(image),
    tool: () => runProgram('load_compressed_tars', ['--dir', dir, reference], { env }),
    plain: () => runPipeline('docker load <plain.tar', { cwd: dir, env }),
  })
  for (const file of [archive, plain, join(dir, 'plain.tar')]) await rm(file)
  return [...rows, row(`load of zst, ${at}; plain: docker load <TAR`, load, LOAD_BOUND)]
}

function row(measure: string, times: PairTimes, bound: number): Row {
  return {
    measure,
    tool: formatMs(times.toolMs),
    plain: formatMs(times.plainMs),
    ratio: formatRatio(times),
    bound: `ratio ≤ ${bound}`,
    held: times.ratio <= bound,
  }
}

async function compareSizes(at: string, archive: string, plain: string): Promise<Row> {
  const [toolBytes, plainBytes] = [(await stat(archive)).size, (await stat(plain)).size]
  return {
    measure: `archive of zst, ${at}; plain: pixz`,
    tool: formatBytes(toolBytes),
    plain: formatBytes(plainBytes),
    ratio: (toolBytes / plainBytes).toFixed(3),
    bound: `ratio ≤ ${SIZE_BOUND}`,
    held: toolBytes <= SIZE_BOUND * plainBytes,
  }
}

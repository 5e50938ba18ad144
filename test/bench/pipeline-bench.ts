// save, load and verify against the pipelines that they take the place of.
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

import { formatBytes } from '../../lib/core/format.ts'
import { runPipeline, runProgram } from './measured-run.ts'
import { formatRatio, timePairs, type Pair } from './paired-timing.ts'
import { formatMs, type Row } from './result-table.ts'
import {
  checkDisk,
  prepareArchive,
  prepareImage,
  removeImage,
  type BenchImage,
  type Workbench,
} from './workbench.ts'

// Compressing is slow, reading is fast: its image is larger, lest the start of
// the programs be most of what is timed.
const SAVED_BYTES = 160e6
const READ_BYTES = 640e6
const ROUNDS = 5
const DISK_GIB = 6

/** Times a save at the default level. */
export async function benchSave(workbench: Workbench): Promise<Row[]> {
  const image = await prepare(workbench, 'saved', SAVED_BYTES)
  const { reference, dir, engine } = image
  const { env } = engine
  const args = ['--no-pull', '--force', '--dir', dir, reference]
  // Whoever is first would read the image from disk.
  await runPipeline(`docker save ${reference} >/dev/null`, { env })
  const rows = await measure('save', SAVED_BYTES, 1.05, {
    before: () => runPipeline('sync', {}),
    tool: () => runProgram('save_compressed_tars', args, { env }),
    plain: () => runPipeline(`docker save ${reference} | pixz -t >plain.tar.xz`, { cwd: dir, env }),
  })
  return [...rows, await compareSizes(image.archive, join(dir, 'plain.tar.xz'))]
}

// Segments cost a little: each begins with nothing learnt.
async function compareSizes(archive: string, plain: string): Promise<Row> {
  const [toolBytes, plainBytes] = [(await stat(archive)).size, (await stat(plain)).size]
  await rm(plain)
  return {
    measure: `archive of an image of ${SAVED_BYTES / 1e6} MB, \`pixz -t\``,
    tool: formatBytes(toolBytes),
    plain: formatBytes(plainBytes),
    ratio: (toolBytes / plainBytes).toFixed(4),
    bound: 'ratio ≤ 1.015',
    held: toolBytes <= 1.015 * plainBytes,
  }
}

/** Times a load into an engine that has nothing of the image. */
export async function benchLoad(workbench: Workbench): Promise<Row[]> {
  const image = await prepare(workbench, 'read', READ_BYTES)
  await prepareArchive(image)
  const { reference, archive, dir, engine } = image
  const { env } = engine
  return measure('load', READ_BYTES, 1.08, {
    before: () => removeImage(image),
    tool: () => runProgram('load_compressed_tars', ['--dir', dir, reference], { env }),
    plain: () => runPipeline(`pixz -d <${archive} | docker load`, { env }),
  })
}

/** Times a verification against the engine. */
export async function benchVerify(workbench: Workbench): Promise<Row[]> {
  const image = await prepare(workbench, 'read', READ_BYTES)
  await prepareArchive(image)
  const { reference, archive, dir, engine } = image
  const { env } = engine
  const args = ['--against', 'engine', '--dir', dir, reference]
  const plain = `
    docker save ${reference} | tar xO | md5sum
    pixz -d <${archive} | tar xO | md5sum`
  return measure('verify', READ_BYTES, 0.8, {
    before: () => runPipeline('sync', {}),
    tool: () => runProgram('verify_checksums', args, { env }),
    plain: () => runPipeline(plain, { env }),
  })
}

async function prepare(workbench: Workbench, name: string, bytes: number): Promise<BenchImage> {
  await checkDisk(DISK_GIB)
  return prepareImage(workbench, name, bytes)
}

async function measure(
  name: string,
  bytes: number,
  bound: number,
  pair: Omit<Pair, 'rounds'>,
): Promise<Row[]> {
  const times = await timePairs({ ...pair, rounds: ROUNDS })
  return [
    {
      measure: `${name}, image of ${bytes / 1e6} MB`,
      tool: formatMs(times.toolMs),
      plain: formatMs(times.plainMs),
      ratio: formatRatio(times),
      bound: `ratio ≤ ${bound}`,
      held: times.ratio <= bound,
    },
  ]
}

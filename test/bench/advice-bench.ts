// Which format and level to take: time and size of each for one image, as a
// chart and a table for the README. No bounds; the figures are the advice.
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { formatBytes } from '../../lib/core/format.ts'
import { ROOT } from '../../scripts/build/root.ts'
import { drawChart, type ChartPoint } from './chart.ts'
import { runPipeline, runProgram, say } from './measured-run.ts'
import { median, time } from './paired-timing.ts'
import { formatMs, type Row } from './result-table.ts'
import { checkDisk, prepareImage, removeImage, type Workbench } from './workbench.ts'

const IMAGE_BYTES = 320e6
const DISK_GIB = 6
const LOAD_ROUNDS = 3
const CHART = 'test/bench/advice.svg'

interface Way {
  readonly name: string
  readonly args: readonly string[]
}

const WAYS: readonly Way[] = [
  ...[0, 1, 6].map((level) => way('xz', level)),
  ...[3, 8, 12, 15, 19].map((level) => way('zst', level)),
  { name: 'zst 8, built in', args: ['--format', 'zst', '--compressor', 'builtin'] },
]

function way(format: string, level: number): Way {
  return { name: `${format} ${level}`, args: ['--format', format, '--level', `${level}`] }
}

/** Times each way once to save, and some times to load; writes the chart. */
export async function benchAdvice(workbench: Workbench): Promise<Row[]> {
  await checkDisk(DISK_GIB)
  const image = await prepareImage(workbench, 'zst', IMAGE_BYTES)
  const { reference, dir, engine } = image
  const { env } = engine
  await runPipeline(`docker save ${reference} >/dev/null`, { env })
  const points: ChartPoint[] = []
  const rows: Row[] = []
  for (const { name, args } of WAYS) {
    const save = ['--no-pull', '--force', ...args, '--dir', dir, reference]
    const saveMs = await time(() => runProgram('save_compressed_tars', save, { env }))
    const ending = name.startsWith('zst') ? 'zst' : 'xz'
    const { size } = await stat(image.archive.replace(/xz$/, ending))
    const loads: number[] = []
    for (let round = 0; round < LOAD_ROUNDS; round++) {
      const load = () => runProgram('load_compressed_tars', ['--dir', dir, reference], { env })
      loads.push(await time(load, () => removeImage(image)))
    }
    say(`  ${name}: ${formatMs(saveMs)}, ${formatBytes(size)}, load ${formatMs(median(loads))}`)
    points.push({ name, seconds: saveMs / 1000, megabytes: size / 1e6 })
    rows.push({
      measure: `${name}: save, archive, load; image of ${IMAGE_BYTES / 1e6} MB`,
      tool: `${formatMs(saveMs)}, ${formatBytes(size)}, ${formatMs(median(loads))}`,
      bound: 'none',
      held: true,
    })
  }
  await writeFile(join(ROOT, CHART), drawChart(points, IMAGE_BYTES / 1e6))
  say(`  wrote ${CHART}`)
  return rows
}

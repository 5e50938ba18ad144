// What is constant in a save shows with a small image: as zst, against `docker save | zstd` at
// the same level.
import { chooseCoding } from '../../lib/codec/formats.ts'
import { runPipeline, runProgram } from './measured-run.ts'
import { formatRatio, timePairs } from './paired-timing.ts'
import { formatMs, type Row } from './result-table.ts'
import { checkDisk, prepareImage, type Workbench } from './workbench.ts'

const IMAGE_BYTES = 125e6
const ROUNDS = 9
const DISK_GIB = 2
const BOUND = 1.1

/** Times saves of a small image. */
export async function benchSmall(workbench: Workbench): Promise<Row[]> {
  await checkDisk(DISK_GIB)
  const { reference, dir, engine } = await prepareImage(workbench, 'small', IMAGE_BYTES)
  const { env } = engine
  const args = ['--no-pull', '--force', '--format', 'zst', '--dir', dir, reference]
  const { level } = chooseCoding({ format: 'zst', level: undefined, long: undefined })
  const plain = `docker save ${reference} | zstd -q -${level} -T0 >plain.tar.zst`
  // Whoever is first would read the image from disk.
  await runPipeline(plain, { cwd: dir, env })
  const times = await timePairs({
    rounds: ROUNDS,
    before: () => runPipeline('sync', {}),
    tool: () => runProgram('save_compressed_tars', args, { env }),
    plain: () => runPipeline(plain, { cwd: dir, env }),
  })
  return [
    {
      measure: `save as zst, image of ${IMAGE_BYTES / 1e6} MB; plain: zstd of that level`,
      tool: formatMs(times.toolMs),
      plain: formatMs(times.plainMs),
      ratio: formatRatio(times),
      bound: `ratio ≤ ${BOUND}`,
      held: times.ratio <= BOUND,
    },
  ]
}

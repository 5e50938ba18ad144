// The decoder for .xz against `xz -T1`, which is what an old xz does, and two of
// its threads against one. It runs as the executables have it: in one file.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { bundleEntry } from '../../scripts/build/bundle.ts'
import { ROOT } from '../../scripts/build/root.ts'
import { peakOfFile, runFile, runPipeline, say } from './measured-run.ts'
import { formatRatio, timePairs, type Pair } from './paired-timing.ts'
import { formatMiB, formatMs, type Row } from './result-table.ts'
import { checkDisk } from './workbench.ts'

const INPUT_BYTES = 480e6
const ROUNDS = 5
const DISK_GIB = 2
const MIB = 1024 ** 2
const THREADS = 2
// What `xz -1 -T2` takes for a block.
const BLOCK_BYTES = 3 * MIB
const MEMORY_BOUND_BYTES = 200 * MIB + THREADS * (BLOCK_BYTES + 32 * MIB)

/** Times the decoder on libraries of this machine, and looks at its memory. */
export async function benchXz(): Promise<Row[]> {
  await checkDisk(DISK_GIB)
  const dir = await mkdtemp(join(tmpdir(), 'xz-bench-'))
  try {
    const archive = join(dir, 'libraries.xz')
    say('  compressing')
    await runPipeline(
      `{ find /usr/lib /usr/local/lib -xdev -type f -size +100k -name '*.so*' -print0 | sort -z |
        xargs -0 cat; } | { head -c ${INPUT_BYTES}; cat >/dev/null; } | xz -1 -T2 >${archive}`,
      {},
    )
    const app = join(dir, 'unpacker.cjs')
    await writeFile(app, (await bundleEntry(ROOT, 'test/fixtures/xz-unpacker.ts')).code)
    await mkdir(join(dir, 'empty'))
    return await measure(archive, app)
  } finally {
    await rm(dir, { recursive: true })
  }
}

async function measure(archive: string, app: string): Promise<Row[]> {
  const unpack = (threads: number) => () =>
    runFile(process.execPath, [app, archive, `${threads}`, 'nowhere'])
  const plain = () => runPipeline(`xz -dc -T1 ${archive} >/dev/null`, {})
  // Whoever is first would read the archive from disk.
  await runPipeline(`test "$(xz -dc ${archive} | wc -c)" = ${INPUT_BYTES}`, {})
  const rows = [
    await compare('.xz on 2 threads, `xz -T1`', 1.35, { tool: unpack(THREADS), plain }),
    await compare('.xz on 2 threads, on 1 thread', 1.7, {
      tool: unpack(THREADS),
      plain: unpack(1),
    }),
  ]
  say('  memory')
  const peakBytes = await peakOfFile(process.execPath, [app, archive, `${THREADS}`, 'nowhere'])
  return [
    ...rows,
    {
      measure: 'peak memory of .xz on 2 threads, blocks of 3 MiB',
      tool: formatMiB(peakBytes),
      bound: `≤ ${formatMiB(MEMORY_BOUND_BYTES)}`,
      held: peakBytes > 0 && peakBytes <= MEMORY_BOUND_BYTES,
    },
  ]
}

async function compare(measured: string, times: number, pair: Omit<Pair, 'rounds'>): Promise<Row> {
  const result = await timePairs({ ...pair, rounds: ROUNDS })
  return {
    measure: `${measured}, ${INPUT_BYTES / 1e6} MB`,
    tool: formatMs(result.toolMs),
    plain: formatMs(result.plainMs),
    ratio: formatRatio(result),
    bound: `ratio ≤ 1 / ${times} = ${(1 / times).toFixed(2)}`,
    held: result.ratio <= 1 / times,
  }
}

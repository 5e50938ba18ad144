// How long a program takes to say what it does, against Node doing nothing.
import { fileURLToPath } from 'node:url'

import { FORMS, PROGRAMS } from '../fixtures/run.ts'
import { runFile, runProgram, say } from './measured-run.ts'
import { formatRatio, timePairs } from './paired-timing.ts'
import { formatMs, type Row } from './result-table.ts'

const ROUNDS = 21
const FACTOR = 1.5
const ADDED_MS = 60

/** Times `--help` of each program, as source and as executable. */
export async function benchHelp(): Promise<Row[]> {
  const node = fileURLToPath(new URL('../../node_modules/.bin/node', import.meta.url))
  const rows: Row[] = []
  for (const [form, program] of FORMS.flatMap((each) =>
    PROGRAMS.map((name) => [each, name] as const),
  )) {
    const name = form === 'source' ? `${program}.ts` : program
    say(`  ${name}`)
    const tool = () => runProgram(program, ['--help'], { form })
    // The first ones read from disk.
    await tool()
    const times = await timePairs({
      tool,
      plain: () => runFile(node, ['-e', '0']),
      rounds: ROUNDS,
    })
    const boundMs = FACTOR * times.plainMs + ADDED_MS
    rows.push({
      measure: `${name} --help, \`node -e 0\``,
      tool: formatMs(times.toolMs),
      plain: formatMs(times.plainMs),
      ratio: formatRatio(times),
      bound: `≤ ${FACTOR} × + ${ADDED_MS} ms = ${formatMs(boundMs)}`,
      held: times.toolMs <= boundMs,
    })
  }
  return rows
}

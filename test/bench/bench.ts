// Time and memory against their bounds: `npm run bench [NAME...]`. The table goes to
// stdout, progress to stderr; the status is 1 where a bound was missed.
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'

import { sh } from '../fixtures/run.ts'
import { benchAdvice } from './advice-bench.ts'
import { benchHelp } from './help-bench.ts'
import { benchHuge } from './huge-bench.ts'
import { benchLayers } from './layers-bench.ts'
import { killRunning, say } from './measured-run.ts'
import { benchMemory } from './memory-bench.ts'
import { benchLoad, benchSave, benchVerify } from './pipeline-bench.ts'
import { formatTable, isMissed, type Row } from './result-table.ts'
import { benchSmall } from './small-bench.ts'
import { withWorkbench, type Workbench } from './workbench.ts'
import { benchXz } from './xz-bench.ts'
import { benchZst } from './zst-bench.ts'

const BENCHES: Readonly<Record<string, (workbench: Workbench) => Promise<Row[]>>> = {
  help: benchHelp,
  save: benchSave,
  load: benchLoad,
  verify: benchVerify,
  layers: benchLayers,
  memory: benchMemory,
  huge: benchHuge,
  small: benchSmall,
  zst: benchZst,
  advice: benchAdvice,
  xz: benchXz,
}

async function main(): Promise<void> {
  const { positionals: names } = parseArgs({ allowPositionals: true })
  const unknown = names.find((name) => !Object.hasOwn(BENCHES, name))
  if (unknown !== undefined) {
    process.stderr.write(`bench: got "${unknown}", want ${Object.keys(BENCHES).join(', ')}\n`)
    process.exitCode = 2
    return
  }
  stopOnSignals()
  const rows: Row[] = []
  try {
    await withWorkbench(async (workbench) => {
      for (const [name, bench] of Object.entries(BENCHES)) {
        if (names.length > 0 && !names.includes(name)) continue
        say(name)
        rows.push(...(await bench(workbench)))
      }
    })
  } finally {
    // What was measured before a failure is worth showing as well.
    if (rows.length > 0) process.stdout.write(`${await describeMachine()}\n\n${formatTable(rows)}`)
  }
  if (rows.some(isMissed)) process.exitCode = 1
}

// The engine and its directory go when this process does; the programs run in
// groups of their own and have to be told.
function stopOnSignals(): void {
  for (const [signal, status] of [['SIGINT', 130] as const, ['SIGTERM', 143] as const]) {
    process.on(signal, () => {
      killRunning()
      process.exit(status)
    })
  }
}

async function describeMachine(): Promise<string> {
  const versions = await sh('echo $(dockerd --version; pixz -h 2>&1 | grep "^pixz [0-9]")', {
    env: { PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
  })
  return `${availableParallelism()} processors, Node ${process.version}, ${versions}`
}

void main()

// Where the benches work: a private engine and a delivery inside the
// engine's own, so that all of it is removed however the run ends.
import { mkdir, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { bigImage } from '../fixtures/big-image.ts'
import { startEngine, type Engine } from '../fixtures/docker-engine.ts'
import { runPipeline, runProgram, say } from './measured-run.ts'

/** Shared by the benches of one run; the engine starts with the first that asks for it. */
export interface Workbench {
  readonly engine: () => Promise<Engine>
}

/** An image in the engine, and the delivery that it is archived in. */
export interface BenchImage {
  readonly reference: string
  /** Path of the archive that the tool makes of it. */
  readonly archive: string
  readonly dir: string
  readonly engine: Engine
}

const GIB = 1024 ** 3

/** Does the work, then stops the engine if there is one. */
export async function withWorkbench(work: (workbench: Workbench) => Promise<void>): Promise<void> {
  let engine: Promise<Engine> | undefined
  try {
    await work({ engine: () => (engine ??= startEngine({ onDisk: true })) })
  } finally {
    await (await engine)?.stop()
  }
}

/** @throws an error where the directory for temporary files has not that much free. */
export async function checkDisk(gibibytes: number): Promise<void> {
  const dir = tmpdir()
  const { bavail, bsize } = await statfs(dir)
  const free = (bavail * bsize) / GIB
  if (free >= gibibytes) return
  throw new Error(`bench in "${dir}": got ${free.toFixed(1)} GiB free, want ${gibibytes}`)
}

/** Builds an image of that many bytes, unless an earlier bench of this run has. */
export async function prepareImage(
  workbench: Workbench,
  name: string,
  bytes: number,
): Promise<BenchImage> {
  const engine = await workbench.engine()
  const reference = `bench/${name}:1.0`
  const dir = join(engine.dir, 'carry')
  await mkdir(dir, { recursive: true })
  const there = await engine.docker('image', 'ls', '--quiet', reference)
  if (there === '') {
    say(`  building an image of ${bytes / 1e6} MB`)
    await bigImage(engine, { reference, bytes })
  }
  return { reference, dir, engine, archive: join(dir, `bench_${name}-1.0.tar.xz`) }
}

/** Archives an image with the tool, unless that was done in this run. */
export async function prepareArchive(image: BenchImage): Promise<void> {
  const { reference, dir, engine } = image
  say('  archiving it')
  await runProgram('save_compressed_tars', ['--no-pull', '--dir', dir, reference], {
    env: engine.env,
  })
}

/** Takes an image away, and waits until what was written before is on disk. */
export async function removeImage({ reference, engine }: BenchImage): Promise<void> {
  await runPipeline(`docker image rm --force ${reference} >/dev/null; sync`, { env: engine.env })
}

// Three images that share nine tenths of their bytes, as those of one release
// do, and what one of them becomes a month later: another layer on top.
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { bigImage } from '../fixtures/big-image.ts'
import type { Engine } from '../fixtures/docker-engine.ts'
import type { Program } from '../fixtures/run.ts'
import { runPipeline, runProgram, say } from './measured-run.ts'
import { median } from './paired-timing.ts'
import { formatMs, type Row } from './result-table.ts'

/** The three; the last one changes. */
export const NAMES: readonly string[] = ['one', 'two', 'three'].map((name) => `bench/${name}:1.0`)

/** What the last one becomes. */
export const CHANGED = 'bench/changed:1.0'

/** The images in an engine, and ways to work with them. */
export interface SharedImages {
  /** Makes a directory that is empty. */
  readonly makeDir: (name: string) => Promise<string>
  /** Runs a program with that engine. */
  readonly run: (program: Program, ...args: string[]) => Promise<unknown>
  /** Runs a bash pipeline with that engine. */
  readonly sh: (cwd: string, script: string) => Promise<void>
  /** Takes the images away. */
  readonly remove: () => Promise<void>
}

/**
 * Builds the images.
 * @param bytes - of each of them; they have up to one file more
 */
export async function buildSharedImages(engine: Engine, bytes: number): Promise<SharedImages> {
  say(`  building images of ${bytes / 1e6} MB`)
  for (const [index, reference] of [...NAMES, CHANGED].entries()) {
    const top = { bytes: 0.1 * bytes, seed: 200 * (index + 1) }
    await bigImage(engine, { reference, bytes: 0.9 * bytes, top })
  }
  const { env, dir } = engine
  const sh = (cwd: string, script: string): Promise<void> => runPipeline(script, { cwd, env })
  return {
    sh,
    makeDir: async (name) => {
      await rm(join(dir, name), { recursive: true, force: true })
      await mkdir(join(dir, name))
      return join(dir, name)
    },
    run: (program, ...args) => runProgram(program, args, { env }),
    remove: () =>
      sh(dir, `docker image rm --force ${[...NAMES, CHANGED].join(' ')} >/dev/null; sync`),
  }
}

/** @returns the name of an image's archive. */
export function archiveOf(reference: string): string {
  return `${reference.replace('/', '_').replace(':', '-')}.tar.xz`
}

/** One round's times, in ms. */
export interface PairedMs {
  readonly toolMs: number
  readonly plainMs: number
}

/** @returns the line for some rounds of one step: medians, and the median of the ratios. */
export function compareRounds(measure: string, bound: number, rounds: readonly PairedMs[]): Row {
  const ratios = rounds.map(({ toolMs, plainMs }) => toolMs / plainMs)
  const range = [Math.min(...ratios), Math.max(...ratios)].map((ratio) => ratio.toFixed(3))
  return {
    measure,
    tool: formatMs(median(rounds.map(({ toolMs }) => toolMs))),
    plain: formatMs(median(rounds.map(({ plainMs }) => plainMs))),
    ratio: `${median(ratios).toFixed(3)} (${range.join('-')})`,
    bound: `ratio ≤ ${bound}`,
    held: median(ratios) <= bound,
  }
}

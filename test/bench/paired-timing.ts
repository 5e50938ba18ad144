// Two ways to do the same, timed by turns: what else the machine does meets
// both, so their ratio is steadier than either time.
import { say } from './measured-run.ts'
import { formatMs } from './result-table.ts'

/** The two ways; each rejects where it fails, which ends the bench. */
export interface Pair {
  readonly tool: () => Promise<unknown>
  readonly plain: () => Promise<unknown>
  /** Done before each of them, untimed. */
  readonly before?: () => Promise<unknown>
  /** How many times each is timed; odd. */
  readonly rounds: number
}

/** What was timed. */
export interface PairTimes {
  /** Median of the tool's times. */
  readonly toolMs: number
  /** Median of the plain pipeline's times. */
  readonly plainMs: number
  /** Median of the rounds' ratios (not the ratio of the medians), and the least and the greatest. */
  readonly ratio: number
  readonly ratioRange: readonly [least: number, greatest: number]
}

/** Times both ways by turns; which one is first changes with each round. */
export async function timePairs(pair: Pair): Promise<PairTimes> {
  const { tool, plain, before, rounds } = pair
  const times: { toolMs: number; plainMs: number }[] = []
  for (let round = 0; round < rounds; round++) {
    const first = round % 2 === 0 ? tool : plain
    const firstMs = await time(first, before)
    const secondMs = await time(first === tool ? plain : tool, before)
    const [toolMs, plainMs] = first === tool ? [firstMs, secondMs] : [secondMs, firstMs]
    times.push({ toolMs, plainMs })
    say(`  ${round + 1}/${rounds}: tool ${formatMs(toolMs)}, plain ${formatMs(plainMs)}`)
  }
  const ratios = times.map(({ toolMs, plainMs }) => toolMs / plainMs)
  return {
    toolMs: median(times.map(({ toolMs }) => toolMs)),
    plainMs: median(times.map(({ plainMs }) => plainMs)),
    ratio: median(ratios),
    ratioRange: [Math.min(...ratios), Math.max(...ratios)],
  }
}

/** @returns the ratio and its range, such as `1.03 (1.01-1.06)`. */
export function formatRatio({ ratio, ratioRange: [least, greatest] }: PairTimes): string {
  return `${ratio.toFixed(2)} (${least.toFixed(2)}-${greatest.toFixed(2)})`
}

/** @returns how long it took, in ms; `before` is not timed. */
export async function time(
  act: () => Promise<unknown>,
  before?: () => Promise<unknown>,
): Promise<number> {
  await before?.()
  const start = performance.now()
  await act()
  return performance.now() - start
}

/** @returns the middle one of an odd number of values. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

// Sources and runtimes → dist/linux-x64/ and dist/linux-arm64/, each with the
// four executables and their SHA256SUMS; all of it, or nothing.
import { rm, utimes, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

import { updateChecksums } from '../../lib/checksum-file.ts'
import { ToolError } from '../../lib/errors.ts'
import { readOrigin } from '../../lib/origin.ts'
import { bundlePrograms, type Bundle } from './bundle.ts'
import { runTool } from './child.ts'
import type { CommandContext } from './command.ts'
import { publish, withOutput } from './output.ts'
import { makeExecutables, prepareHome } from './pkg.ts'
import { ARCHITECTURES, fetchRuntime } from './runtime.ts'
import { STAMP, digestInputs, isUpToDate, sha256 } from './stamp.ts'

/** The directories in dist/. */
export const PLATFORMS = ARCHITECTURES.map((architecture) => `linux-${architecture}`)

/** What to build, and where. */
export interface BuildOptions extends CommandContext {
  /** The directory of package.json. */
  readonly root: string
  /** Where the executables go. */
  readonly dist: string
  /** Build even what is up to date. */
  readonly force: boolean
}

/**
 * Makes all executables, unless they are there and nothing has changed.
 * @returns the bundles that they were made from
 */
export async function buildExecutables(options: BuildOptions): Promise<Bundle[]> {
  const { root, dist, force, say } = options
  const bundles = await bundlePrograms(root, readOrigin())
  const inputs = await digestInputs(root, bundles)
  if (!force && (await isUpToDate(dist, inputs, PLATFORMS))) {
    // Newer than what it was made from; unless root made it.
    await utimes(join(dist, STAMP), new Date(), new Date()).catch(() => {})
    say(`"${dist}" is up to date`)
    return bundles
  }
  await withOutput(dist, async (dir) => {
    await makeAll(bundles, dir, options)
    await rm(join(dist, STAMP), { force: true })
    for (const platform of PLATFORMS) await publish(join(dir, platform), join(dist, platform), dir)
    await writeFile(join(dist, STAMP), `${inputs}\n`)
  })
  say(`made ${PLATFORMS.map((platform) => `"${join(dist, platform)}"`).join(' and ')}`)
  return bundles
}

async function makeAll(
  bundles: readonly Bundle[],
  dir: string,
  { root, say, signal }: BuildOptions,
): Promise<void> {
  say(`fetching the Node runtimes for ${PLATFORMS.join(' and ')}`)
  const runtimes = await settle(
    ARCHITECTURES.map((architecture) => fetchRuntime(architecture, { root, dir, signal })),
  )
  const home = join(dir, 'home')
  await prepareHome(home, runtimes)
  await inParallel(bundles, async (bundle) => {
    say(`making ${bundle.program}`)
    await makeExecutables(bundle, { home, runtimes, dir, signal })
  })
  for (const platform of PLATFORMS) {
    await writeSums(
      join(dir, platform),
      bundles.map(({ program }) => program),
    )
  }
  for (const { program } of bundles)
    await tryOut(join(dir, `linux-${process.arch}`), program, signal)
}

// pkg keeps a processor busy, and takes 1.7 GB.
const MOST_AT_ONCE = 2

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items]
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item)
  }
  await settle(Array.from({ length: Math.min(availableParallelism(), MOST_AT_ONCE) }, worker))
}

// Unlike Promise.all it ends when all have: nothing writes where it is tidied up.
async function settle<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises)
  return Promise.all(promises)
}

/**
 * Writes SHA256SUMS.
 * @param dir - where, and where the files are
 * @param names - of the files, in the order of the lines
 */
export async function writeSums(dir: string, names: readonly string[]): Promise<void> {
  const sums = new Map<string, string>()
  for (const name of names) sums.set(name, await sha256(join(dir, name)))
  await writeFile(join(dir, 'SHA256SUMS'), updateChecksums('', sums))
}

// What pkg calls a success is to run, too, where this machine can run it.
async function tryOut(dir: string, program: string, signal: AbortSignal): Promise<void> {
  const version = await runTool(join(dir, program), ['--version'], {
    cwd: dir,
    env: { NODE_OPTIONS: '' },
    signal,
    explain: (text) => new ToolError('IO_FAILED', `try "${program}": ${text.trim()}`),
  })
  if (version.startsWith(`${program} `)) return
  throw new ToolError('MISMATCH', `try "${program}": got "${version.trim()}", want its version`)
}

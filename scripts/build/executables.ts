// Builds dist/linux-x64/ and dist/linux-arm64/ from sources and runtimes. Each gets the four
// executables, the licences of what is in them, and SHA256SUMS. A failure before all is
// made leaves dist/ as it was.
import { chmod, mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { readOrigin } from '../../lib/cli/origin.ts'
import { ToolError } from '../../lib/core/errors.ts'
import { updateChecksums } from '../../lib/delivery/sha256sums.ts'
import { bundlePrograms, type Bundle } from './bundle.ts'
import { runTool } from './child.ts'
import type { CommandContext } from './command.ts'
import { LICENCES_NAME, collectLicences } from './licences.ts'
import { publish, withOutput } from './output.ts'
import { makeExecutable, prepareHome } from './pkg.ts'
import { ANY_PROGRAM, PROGRAMS } from './programs.ts'
import { ARCHITECTURES, fetchRuntime } from './runtime.ts'
import { STAMP, digestInputs, isUpToDate, sha256 } from './stamp.ts'

/** The files in each of {@link PLATFORMS}, without SHA256SUMS. */
export const BUILT = [...PROGRAMS, LICENCES_NAME] as const

/** The directories in dist/, one for each kind of processor. */
export const PLATFORMS = ARCHITECTURES.map((architecture) => `linux-${architecture}`)

/** What to build, and where. */
export interface BuildOptions extends CommandContext {
  /** The directory of package.json. */
  readonly root: string
  /** The directory of the executables. */
  readonly dist: string
  /** Whether to build even if all is up to date. */
  readonly force: boolean
}

/** Builds all executables, unless they are there and nothing has changed. */
export async function buildExecutables(options: BuildOptions): Promise<void> {
  const { root, dist, force, say } = options
  const bundle = await bundlePrograms(root, readOrigin())
  const inputs = await digestInputs(root, bundle.code)
  if (!force && (await isUpToDate(dist, inputs, PLATFORMS))) {
    // The stamp gets a newer time than the sources. This fails if root made the stamp, which
    // does not matter.
    await utimes(join(dist, STAMP), new Date(), new Date()).catch(() => {})
    say(`"${dist}" is up to date`)
    return
  }
  await withOutput(dist, async (dir) => {
    await makeAll(bundle, dir, options)
    await rm(join(dist, STAMP), { force: true })
    for (const platform of PLATFORMS) await publish(join(dir, platform), join(dist, platform), dir)
    await writeFile(join(dist, STAMP), `${inputs}\n`)
  })
  say(`made ${PLATFORMS.map((platform) => `"${join(dist, platform)}"`).join(' and ')}`)
}

async function makeAll(
  { code, packages }: Bundle,
  dir: string,
  { root, say, signal }: BuildOptions,
): Promise<void> {
  say(`fetching the Node runtimes for ${PLATFORMS.join(' and ')}`)
  const runtimes = await settle(
    ARCHITECTURES.map((architecture) => fetchRuntime(architecture, { root, dir, signal })),
  )
  const home = join(dir, 'home')
  await prepareHome(home, runtimes)
  say('making the executables')
  await settle(
    runtimes.map(async (runtime) => {
      const made = await makeExecutable(code, runtime, { home, dir, signal })
      const platform = join(dir, `linux-${runtime.architecture}`)
      await nameExecutable(made, platform)
      const licences = await collectLicences(root, packages, runtime)
      await writeFile(join(platform, LICENCES_NAME), licences)
    }),
  )
  for (const platform of PLATFORMS) await writeSums(join(dir, platform), BUILT)
  for (const program of PROGRAMS) await tryOut(join(dir, `linux-${process.arch}`), program, signal)
}

// The four executables differ only in this name, so one run of pkg is enough.
async function nameExecutable(made: string, dir: string): Promise<void> {
  const bytes = await readFile(made)
  const at = bytes.indexOf(ANY_PROGRAM)
  if (at === -1 || at !== bytes.lastIndexOf(ANY_PROGRAM)) {
    throw new Error(`name "${made}": "${ANY_PROGRAM}" is not in it just once`)
  }
  await mkdir(dir)
  for (const program of PROGRAMS) {
    bytes.write(program.padEnd(ANY_PROGRAM.length), at, ANY_PROGRAM.length)
    await writeFile(join(dir, program), bytes)
    await chmod(join(dir, program), 0o755)
  }
}

// Unlike Promise.all, this waits until all promises have ended, also after a failure: then
// nothing writes to a directory that is being removed.
async function settle<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises)
  return Promise.all(promises)
}

/**
 * Writes SHA256SUMS.
 * @param dir - the directory of the files; SHA256SUMS goes there too
 * @param names - the names of the files, in the order of the lines
 */
export async function writeSums(dir: string, names: readonly string[]): Promise<void> {
  const sums = new Map<string, string>()
  for (const name of names) sums.set(name, await sha256(join(dir, name)))
  await writeFile(join(dir, 'SHA256SUMS'), updateChecksums('', sums))
}

// Runs an executable once: pkg may report a success although the result does not run. Only
// those for the processor of this host can run here.
async function tryOut(dir: string, program: string, signal: AbortSignal): Promise<void> {
  const version = await runTool(join(dir, program), ['--version'], {
    cwd: dir,
    signal,
    toError: (text) => new ToolError('IO_FAILED', `try "${program}": ${text.trim()}`),
  })
  if (version.startsWith(`${program} `)) return
  throw new ToolError('MISMATCH', `try "${program}": got "${version.trim()}", want its version`)
}

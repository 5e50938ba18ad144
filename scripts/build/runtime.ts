// Gets the Node runtimes for the executables: the official ones, which the npm packages
// node-linux-* carry. npm fetches them, from its cache if it can. A package is used only if
// its checksum is the one in the lock file.
import { createHash } from 'node:crypto'
import { mkdir, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'

import { withoutCredentials } from '../../lib/core/credentials.ts'
import { ToolError } from '../../lib/core/errors.ts'
import { runTool } from './child.ts'

/** The kinds of processor that executables are made for, by Node's names. */
export const ARCHITECTURES = ['x64', 'arm64'] as const

/** One of {@link ARCHITECTURES}. */
export type Architecture = (typeof ARCHITECTURES)[number]

/** A Node runtime on disk. */
export interface Runtime {
  readonly architecture: Architecture
  /** Its version, such as `24.21.0`. */
  readonly version: string
  /** Path of the executable. */
  readonly file: string
  /** Path of its licence. */
  readonly licence: string
}

/** What {@link fetchRuntime} needs. */
export interface FetchOptions {
  /** The directory of package-lock.json. */
  readonly root: string
  /** An existing directory; the runtime goes to a new directory in it. */
  readonly dir: string
  readonly signal: AbortSignal
}

/**
 * @returns the runtime that package-lock.json pins for a processor
 * @throws REGISTRY_UNREACHABLE or IO_FAILED if npm cannot get it; MISMATCH if it is not the
 *   pinned one, or is for another processor
 */
export async function fetchRuntime(
  architecture: Architecture,
  options: FetchOptions,
): Promise<Runtime> {
  const name = runtimePackage(architecture)
  const { version, integrity } = await readLock(join(options.root, 'package-lock.json'), name)
  const dir = join(options.dir, name)
  await mkdir(dir)
  const tarball = await pack(`${name}@${version}`, dir, options)
  await checkIntegrity(tarball, integrity)
  const { file, licence } = await unpackRuntime(tarball, dir, options.signal)
  await checkArchitecture(file, architecture)
  return { architecture, version, file, licence }
}

/** @returns the name of the npm package with the runtime for a processor. */
export function runtimePackage(architecture: Architecture): string {
  return `node-linux-${architecture}`
}

const Lock = v.object({ packages: v.record(v.string(), v.unknown()) })
const Locked = v.object({
  version: v.string(),
  integrity: v.pipe(v.string(), v.startsWith('sha512-')),
})

/**
 * @param file - path of package-lock.json
 * @param name - the name of a package
 * @returns the version and the checksum that the file pins for the package
 * @throws IO_FAILED if the file pins no version, or no sha512
 */
export async function readLock(file: string, name: string): Promise<v.InferOutput<typeof Locked>> {
  const lock = v.safeParse(Lock, JSON.parse(await readFile(file, 'utf8')))
  const locked = v.safeParse(Locked, lock.success && lock.output.packages[`node_modules/${name}`])
  if (locked.success) return locked.output
  throw new ToolError('IO_FAILED', `read "${file}": it pins no version and sha512 of "${name}"`, {
    hint: 'restore it from git, or write it anew: npm install --package-lock-only',
  })
}

// By default npm tries for more than a minute before it says that there is no network.
const NPM = ['--loglevel=error', '--ignore-scripts', '--prefer-offline']
const RETRIES = ['--fetch-retry-mintimeout=1000', '--fetch-retry-maxtimeout=4000']

async function pack(spec: string, dir: string, options: FetchOptions): Promise<string> {
  const args = ['pack', spec, '--pack-destination', dir, ...NPM, ...RETRIES]
  const output = await runTool('npm', args, {
    cwd: options.root,
    signal: options.signal,
    toError: (text) => explainNpm(`fetch "${spec}"`, text),
  })
  return join(dir, output.trim().split('\n').at(-1) ?? '')
}

const UNREACHABLE = /EAI_AGAIN|ENOTFOUND|ENOTCACHED|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH/

/**
 * @param action - the action that failed, for the message
 * @param output - the output of npm
 * @returns the error REGISTRY_UNREACHABLE if npm has no connection, else IO_FAILED
 */
export function explainNpm(action: string, output: string): ToolError {
  const lines = [...output.matchAll(/^npm error (.+)$/gm)].map(([, line = '']) => line)
  const why = lines.find((line) => /request to|^404|EINTEGRITY|^notarget/.test(line)) ?? lines[0]
  const message = `${action}: npm: ${withoutCredentials(why ?? output.trim())}`
  if (!UNREACHABLE.test(output)) return new ToolError('IO_FAILED', message)
  return new ToolError('REGISTRY_UNREACHABLE', message, {
    hint: "it is not in npm's cache: the first build needs the npm registry (or HTTPS_PROXY)",
  })
}

/** @throws MISMATCH if a file does not have the `integrity` of the lock file. */
export async function checkIntegrity(file: string, integrity: string): Promise<void> {
  const hash = createHash('sha512').update(await readFile(file))
  const found = `sha512-${hash.digest('base64')}`
  if (found === integrity) return
  throw new ToolError('MISMATCH', `check "${file}": got ${found}, want ${integrity}`, {
    hint: 'it is not what package-lock.json pins: do not use it before you know why',
  })
}

/** Unpacks a runtime package. @returns the paths of the executable and of its licence */
export async function unpackRuntime(
  tarball: string,
  dir: string,
  signal: AbortSignal,
): Promise<Pick<Runtime, 'file' | 'licence'>> {
  const [file, licence] = ['package/bin/node', 'package/LICENSE'] as const
  await runTool('tar', ['-xzf', tarball, '-C', dir, file, licence], {
    cwd: dir,
    signal,
    toError: (text) => new ToolError('IO_FAILED', `unpack "${tarball}": ${text.trim()}`),
  })
  return { file: join(dir, file), licence: join(dir, licence) }
}

// e_machine of the ELF header; see elf(5).
const MACHINES: Readonly<Record<Architecture, number>> = { x64: 0x3e, arm64: 0xb7 }

/** @throws MISMATCH if a file is for another processor, or is not an executable. */
export async function checkArchitecture(file: string, want: Architecture): Promise<void> {
  const header = Buffer.alloc(20)
  await using handle = await open(file)
  await handle.read(header)
  const isElf = header.toString('latin1', 0, 4) === '\x7fELF'
  const got = isElf && ARCHITECTURES.find((each) => MACHINES[each] === header.readUInt16LE(18))
  if (got === want) return
  const what = got || (isElf ? 'another processor' : 'no executable')
  throw new ToolError('MISMATCH', `check "${file}": got ${what}, want ${want}`)
}

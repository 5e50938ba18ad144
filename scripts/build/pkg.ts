// Bundle and runtime → executable, by pkg in its SEA mode: the runtime is the
// official one, the bundle a section of it, and nothing is unpacked when it runs.
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { ToolError } from '../../lib/core/errors.ts'
import { runTool } from './child.ts'
import type { Runtime } from './runtime.ts'

/**
 * Makes pkg find the runtimes where it would put what it downloads, so that it
 * downloads nothing; see getNodejsExecutable in its lib-es5/sea.js.
 * @param home - an empty directory, to be pkg's HOME
 */
export async function prepareHome(home: string, runtimes: readonly Runtime[]): Promise<void> {
  for (const { version, architecture, file } of runtimes) {
    const name = `node-v${version}-linux-${architecture}`
    const cache = join(home, '.pkg-cache/sea')
    const bin = join(cache, name, 'bin')
    await mkdir(bin, { recursive: true })
    await rename(file, join(bin, 'node'))
    const markers = [join(bin, 'node.ok'), join(cache, `${name}.tar.gz`)]
    for (const marker of [...markers, join(cache, `${name}.tar.gz.ok`)]) await writeFile(marker, '')
  }
}

/** Where an executable is made. */
export interface MakeOptions {
  /** From {@link prepareHome}. */
  readonly home: string
  /** An existing directory, to make another one in. */
  readonly dir: string
  readonly signal: AbortSignal
}

const NAME = 'dgx-offline-images'

/**
 * @param code - a program as one CommonJS file
 * @returns the path of the runtime with that program in it
 * @throws IO_FAILED, INTERRUPTED
 */
export async function makeExecutable(
  code: string,
  { version, architecture }: Runtime,
  { home, dir, signal }: MakeOptions,
): Promise<string> {
  const work = join(dir, `work-${architecture}`)
  await mkdir(work)
  await writeFile(join(work, `${NAME}.cjs`), code)
  const runPkg = fileURLToPath(new URL('run-pkg.ts', import.meta.url))
  await runTool(process.execPath, [runPkg, NAME, version, architecture], {
    cwd: work,
    env: { HOME: home, TMPDIR: work, NODE_OPTIONS: '' },
    signal,
    toError: (text) =>
      new ToolError('IO_FAILED', `make the executables for ${architecture}: pkg: ${text.trim()}`),
  })
  return join(work, NAME)
}

// Bundle and runtimes → executables, by pkg in its SEA mode: the runtime is the
// official one, the bundle a section of it, and nothing is unpacked when it runs.
import { chmod, mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { ToolError } from '../../lib/errors.ts'
import type { Bundle } from './bundle.ts'
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

/** Where executables are made. */
export interface MakeOptions {
  /** From {@link prepareHome}. */
  readonly home: string
  readonly runtimes: readonly Runtime[]
  /** An existing directory; each executable goes to `linux-ARCHITECTURE/PROGRAM` in it. */
  readonly dir: string
  readonly signal: AbortSignal
}

/** Makes the executables of one program, one for each runtime. */
export async function makeExecutables(bundle: Bundle, options: MakeOptions): Promise<void> {
  const { home, runtimes, dir, signal } = options
  const { program, code } = bundle
  const work = join(dir, `work-${program}`)
  await mkdir(work)
  await writeFile(join(work, `${program}.cjs`), code)
  const targets = runtimes.map((each) => `node${each.version}-linux-${each.architecture}`)
  const runPkg = fileURLToPath(new URL('run-pkg.ts', import.meta.url))
  await runTool(process.execPath, [runPkg, program, ...targets], {
    cwd: work,
    env: { HOME: home, TMPDIR: work, NODE_OPTIONS: '' },
    signal,
    explain: (text) => new ToolError('IO_FAILED', `make "${program}": pkg: ${text.trim()}`),
  })
  for (const { architecture } of runtimes) {
    // pkg names the processor only where there are several.
    const made = join(work, runtimes.length === 1 ? program : `${program}-${architecture}`)
    const file = join(dir, `linux-${architecture}`, program)
    await mkdir(join(file, '..'), { recursive: true })
    await rename(made, file)
    await chmod(file, 0o755)
  }
}

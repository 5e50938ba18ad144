// The four programs, each with all that it imports in one CommonJS file: the
// form that a single executable of Node can start. The text depends on nothing
// but sources, packages and origin, so neither do the executables.
import { build } from 'esbuild'

import type { Origin } from '../../lib/origin.ts'
import { PROGRAMS } from './programs.ts'

/** One program in one file. */
export interface Bundle {
  readonly program: string
  readonly code: string
  /** Names of the npm packages inside. */
  readonly packages: readonly string[]
}

/**
 * @param root - the directory of package.json
 * @param origin - what `--version` tells
 * @returns a bundle for each program, in the order of {@link PROGRAMS}
 */
export async function bundlePrograms(root: string, origin: Origin): Promise<Bundle[]> {
  return Promise.all(PROGRAMS.map((program) => bundle(root, program, origin)))
}

async function bundle(root: string, program: string, origin: Origin): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: [`scripts/${program}.ts`],
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    // The names and lines stay: a bug shows its stack.
    minify: false,
    define: { BUILD_ORIGIN: JSON.stringify(JSON.stringify(origin)) },
    write: false,
    metafile: true,
    logLevel: 'warning',
  })
  const text = outputFiles[0]?.text ?? ''
  return {
    program,
    // The sources start with a shell's line, which executables do not.
    code: text.replace(/^#!.*\n/, ''),
    packages: packagesOf(Object.keys(metafile.inputs)),
  }
}

const PACKAGE = /.*\bnode_modules\/(?<name>(?:@[^/]+\/)?[^/]+)\//

function packagesOf(inputs: readonly string[]): string[] {
  const names = inputs.flatMap((input) => PACKAGE.exec(input)?.groups?.['name'] ?? [])
  return [...new Set(names)].toSorted()
}

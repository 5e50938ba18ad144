// Bundles the four programs and all that they import into one CommonJS file, the form that
// a single executable of Node can start. The text depends only on sources, packages and
// origin, so one commit always gives the same executables.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'

import type { Origin } from '../../lib/cli/origin.ts'
import { ANY_PROGRAM } from './programs.ts'

/** Sources, bundled into one file. */
export interface Bundle {
  readonly code: string
  /** Names of the npm packages in the bundle. */
  readonly packages: readonly string[]
}

/**
 * @param root - the directory of package.json
 * @param origin - the version and commit that `--version` prints
 * @returns the bundle of the programs, with {@link ANY_PROGRAM} in place of a program's name
 */
export async function bundlePrograms(root: string, origin: Origin): Promise<Bundle> {
  return bundleEntry(root, 'scripts/build/entry.ts', {
    BUILD_ORIGIN: JSON.stringify(origin),
    BUILD_PROGRAM: ANY_PROGRAM,
  })
}

/**
 * @param root - the directory of package.json
 * @param entry - the path of a source file, from the root
 * @param texts - constants that the sources only declare, by name
 * @returns the file with all that it imports; if it decodes .xz, also the source text of
 *   the thread for that
 */
export async function bundleEntry(
  root: string,
  entry: string,
  texts: Readonly<Record<string, string>> = {},
): Promise<Bundle> {
  const wasm = await readFile(join(root, LIBLZMA), 'base64')
  const thread = await bundleFile(root, 'lib/codec/xz/worker.ts', { BUILD_LIBLZMA: wasm })
  const main = await bundleFile(root, entry, { ...texts, BUILD_XZ_WORKER: thread.code })
  const inputs = main.inputs.includes('lib/codec/xz/worker-pool.ts')
    ? [...main.inputs, ...thread.inputs]
    : main.inputs
  return { code: main.code, packages: packagesOf(inputs) }
}

const LIBLZMA = 'node_modules/node-liblzma/lib/wasm/liblzma.wasm'

async function bundleFile(
  root: string,
  entry: string,
  texts: Readonly<Record<string, string>>,
): Promise<{ code: string; inputs: string[] }> {
  const constants = Object.entries(texts).map(([name, text]) => [name, JSON.stringify(text)])
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    // Names and lines stay, because a bug shows its stack.
    minify: false,
    // An executable has no files beside it, so a URL would lead to nothing.
    define: { ...Object.fromEntries(constants), 'import.meta.url': '""' },
    write: false,
    metafile: true,
    logLevel: 'warning',
  })
  return { code: outputFiles[0]?.text ?? '', inputs: Object.keys(metafile.inputs) }
}

const PACKAGE = /.*\bnode_modules\/(?<name>(?:@[^/]+\/)?[^/]+)\//

function packagesOf(inputs: readonly string[]): string[] {
  const names = inputs.flatMap((input) => PACKAGE.exec(input)?.groups?.['name'] ?? [])
  return [...new Set(names)].toSorted()
}

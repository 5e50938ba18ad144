// Collects the licences of all that is in the executables: their terms require that they go
// with them. esbuild says which packages are in the bundle. Node has a licence file that
// covers its parts. If a package contains or refers to a licence without its text, the text
// is in licences/.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { ToolError, ignoreNotFound } from '../../lib/core/errors.ts'
import type { Runtime } from './runtime.ts'

/** The file with the licences, beside the executables. */
export const LICENCES_NAME = 'THIRD-PARTY-LICENSES.txt'

/** A licence whose text a package lacks: a heading, and the name of its file in licences/. */
interface Inside {
  readonly title: string
  readonly file: string
}

/**
 * The licences of the parts of a package. Those of zx are the parts of its
 * build/vendor-core.cjs, of which zx lists only the names. The liblzma.wasm of node-liblzma
 * is built by Emscripten.
 */
export const INSIDE: Readonly<Record<string, readonly Inside[]>> = {
  'node-liblzma': [
    { title: 'GNU General Public License 3, which the licence above refers to', file: 'GPL-3.0' },
    { title: 'liblzma of the XZ Utils, in node-liblzma', file: 'liblzma' },
    { title: 'Emscripten, in node-liblzma', file: 'emscripten' },
    { title: 'musl, in node-liblzma', file: 'musl' },
  ],
  zx: [
    { title: '@webpod/ingrid, in zx', file: 'webpod-ingrid' },
    { title: '@webpod/ps, in zx', file: 'webpod-ps' },
    { title: 'chalk, in zx', file: 'chalk' },
    { title: 'isexe, in zx', file: 'isexe' },
    { title: 'which, in zx', file: 'which' },
    { title: 'zurk, in zx', file: 'zurk' },
  ],
}

const TEXTS = fileURLToPath(new URL('licences', import.meta.url))

const PREFACE = `Each executable has a Node.js and the following packages inside, all under licences of
their own. One of them is under the GNU Lesser General Public License: node-liblzma, as it
is on npm. To run the programs with another version of it, change it in the sources
(https://github.com/mikepcw/dgx-offline-images): put another one into node_modules, or its
version into package.json, and \`npm run build\` makes the executables with it.
`

/**
 * @param root - the directory of node_modules
 * @param packages - the names of the npm packages in the bundle
 * @param runtime - the Node in the executables
 * @returns the text of {@link LICENCES_NAME}: a heading and the licence of each, Node last
 * @throws IO_FAILED if a package has no licence file
 */
export async function collectLicences(
  root: string,
  packages: readonly string[],
  { version, licence }: Pick<Runtime, 'version' | 'licence'>,
): Promise<string> {
  const parts = [PREFACE]
  for (const name of packages) {
    const dir = join(root, 'node_modules', name)
    const { version: its } = JSON.parse(await readFile(join(dir, 'package.json'), 'utf8'))
    parts.push(section(`${name} ${its}`, await readLicence(dir, name)))
    for (const { title, file } of INSIDE[name] ?? []) {
      parts.push(section(title, await readFile(join(TEXTS, `${file}.txt`), 'utf8')))
    }
  }
  parts.push(section(`Node.js ${version}`, await readFile(licence, 'utf8')))
  return parts.join('\n')
}

function section(title: string, text: string): string {
  return `${title}\n${'='.repeat(title.length)}\n\n${text.trim()}\n`
}

const LICENCE = /^licen[cs]e(\.|$)/i
// The file of zx with the names of the packages that are bundled in it.
const NOTICES = 'build/3rd-party-licenses'

async function readLicence(dir: string, name: string): Promise<string> {
  const file = (await readdir(dir)).find((entry) => LICENCE.test(entry))
  if (file === undefined) throw new ToolError('IO_FAILED', `"${name}" has no licence with it`)
  const notices = await readFile(join(dir, NOTICES), 'utf8').catch(ignoreNotFound)
  const text = await readFile(join(dir, file), 'utf8')
  return notices === undefined ? text.trim() : `${text.trim()}\n\n${notices.trim()}`
}

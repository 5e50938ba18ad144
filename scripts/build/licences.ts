// The licences of what is inside of the executables: their terms ask for them to
// go along. Which packages that are, esbuild says; Node has its own, with those
// of all that it is made of.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { ToolError, nothing } from '../../lib/errors.ts'

/**
 * @param root - the directory of node_modules
 * @param packages - names of the npm packages inside
 * @returns the text for a file: a heading and the licence of each, Node last
 * @throws IO_FAILED where a package has no licence with it
 */
export async function collectLicences(root: string, packages: readonly string[]): Promise<string> {
  const runtime = `node-linux-${process.arch}`
  const parts: string[] = []
  for (const name of [...packages, runtime]) {
    const dir = join(root, 'node_modules', name)
    const { version } = JSON.parse(await readFile(join(dir, 'package.json'), 'utf8'))
    const title = name === runtime ? `Node.js ${version}` : `${name} ${version}`
    parts.push(`${title}\n${'='.repeat(title.length)}\n\n${await readLicence(dir, name)}\n`)
  }
  return parts.join('\n')
}

const LICENCE = /^licen[cs]e(\.|$)/i
// Where zx keeps those of the packages that were put into it.
const NOTICES = 'build/3rd-party-licenses'

async function readLicence(dir: string, name: string): Promise<string> {
  const file = (await readdir(dir)).find((entry) => LICENCE.test(entry))
  if (file === undefined) throw new ToolError('IO_FAILED', `"${name}" has no licence with it`)
  const notices = await readFile(join(dir, NOTICES), 'utf8').catch(nothing)
  const text = await readFile(join(dir, file), 'utf8')
  return notices === undefined ? text.trim() : `${text.trim()}\n\n${notices.trim()}`
}

// Whose licences go along with the executables, and that their texts are whole.
import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { bundlePrograms } from '../../../scripts/build/bundle.ts'
import { INSIDE, collectLicences } from '../../../scripts/build/licences.ts'
import { ROOT } from '../../../scripts/build/root.ts'
import { executables } from '../../fixtures/run.ts'

const NODE = {
  version: process.version.slice(1),
  licence: `node_modules/node-linux-${process.arch}/LICENSE`,
}

t.test('licences: of every package in a bundle, and of Node', async (t) => {
  const { packages } = await bundlePrograms(ROOT, { version: '1.2.3' })
  for (const name of ['fs-extra', 'log-update', 'minimist', 'node-liblzma', 'valibot', 'zx']) {
    t.ok(packages.includes(name), name)
  }
  const text = await collectLicences(ROOT, packages, NODE)
  for (const name of packages)
    t.match(text, new RegExp(`^${name} \\d+\\.\\d+\\.\\d+\\n=+\\n\\n\\S`, 'm'))
  for (const { title } of packages.flatMap((name) => INSIDE[name] ?? []))
    t.match(text, new RegExp(`^${title}\\n=+\\n\\n\\S`, 'm'))
  for (const name of Object.keys(INSIDE)) t.ok(packages.includes(name), name)
  t.match(text, `\nNode.js ${process.version.slice(1)}\n`)
  t.match(text, 'Permission is hereby granted')

  for (const architecture of ['x64', 'arm64']) {
    const beside = join(executables(architecture), 'THIRD-PARTY-LICENSES.txt')
    t.equal(await readFile(beside, 'utf8'), text, architecture)
  }
})

t.test('licences: that of node-liblzma, with the text that it refers to', async (t) => {
  const text = await collectLicences(ROOT, ['node-liblzma'], NODE)
  const headings = [
    'One of them is under the GNU Lesser General Public License: node-liblzma',
    'GNU LESSER GENERAL PUBLIC LICENSE\n                       Version 3, 29 June 2007',
    'GNU GENERAL PUBLIC LICENSE\n                       Version 3, 29 June 2007',
    'END OF TERMS AND CONDITIONS',
    'Copyright (C) The XZ Utils authors',
    'Emscripten authors',
    'Rich Felker',
    'Node.js is licensed for use as follows:',
  ]
  const places = headings.map((heading) => text.indexOf(heading))
  t.notOk(places.includes(-1), places.join(' '))
  t.strictSame(
    places,
    places.toSorted((left, right) => left - right),
  )
  // As it is at https://www.gnu.org/licenses/gpl-3.0.txt, to the byte.
  const gpl = await readFile('scripts/build/licences/GPL-3.0.txt')
  const sha256 = '3972dc9744f6499f0f9b2dbf76696f2ae7ad8af9b23dde66d6af86c9dfb36986'
  t.equal(createHash('sha256').update(gpl).digest('hex'), sha256)
  t.ok(text.includes(gpl.toString().trim()))
})

t.test('licences: what was put into zx, as its own file tells', async (t) => {
  const vendor = await readFile('node_modules/zx/build/vendor-core.cjs', 'utf8')
  const paths = vendor.matchAll(/^\/\/ node_modules\/((?:@[^/]+\/)?[^/]+)\//gm)
  const names = new Set([...paths].map(([, name = '']) => name))
  const told = INSIDE['zx']?.map(({ title }) => title.replace(', in zx', ''))
  t.strictSame([...names].toSorted(), told?.toSorted())
})

t.test('licences: a package without one is an error', async (t) => {
  const dir = t.testdir()
  await mkdir(join(dir, 'node_modules/bare'), { recursive: true })
  await writeFile(join(dir, 'node_modules/bare/package.json'), '{ "version": "1.0.0" }')
  await t.rejects(collectLicences(dir, ['bare'], NODE), {
    code: 'IO_FAILED',
    message: '"bare" has no licence with it',
  })
})

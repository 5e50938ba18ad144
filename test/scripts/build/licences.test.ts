// Whose licences go along with the executables.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { bundlePrograms } from '../../../scripts/build/bundle.ts'
import { collectLicences } from '../../../scripts/build/licences.ts'
import { ROOT } from '../../../scripts/build/root.ts'

t.test('licences: of every package in a bundle, and of Node', async (t) => {
  const { packages } = await bundlePrograms(ROOT, { version: '1.2.3' })
  for (const name of ['fs-extra', 'log-update', 'minimist', 'valibot', 'zx']) {
    t.ok(packages.includes(name), name)
  }
  const text = await collectLicences(ROOT, packages)
  for (const name of packages)
    t.match(text, new RegExp(`^${name} \\d+\\.\\d+\\.\\d+\\n=+\\n\\n\\S`, 'm'))
  t.match(text, `\nNode.js ${process.version.slice(1)}\n`)
  t.match(text, 'Permission is hereby granted')
})

t.test('licences: a package without one is an error', async (t) => {
  const dir = t.testdir()
  await mkdir(join(dir, 'node_modules/bare'), { recursive: true })
  await writeFile(join(dir, 'node_modules/bare/package.json'), '{ "version": "1.0.0" }')
  await t.rejects(collectLicences(dir, ['bare']), {
    code: 'IO_FAILED',
    message: '"bare" has no licence with it',
  })
})

// What is taken for a Node runtime, and what is not.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import {
  checkArchitecture,
  checkIntegrity,
  explainNpm,
  unpackRuntime,
} from '../../../scripts/build/runtime.ts'
import { executables, sh } from '../../fixtures/run.ts'

t.test('runtime: a file that is what the lock file pins', async (t) => {
  const file = join(t.testdir(), 'file')
  await writeFile(file, 'content')
  const hash = await sh(`openssl dgst -sha512 -binary <'${file}' | base64 -w0`)
  await checkIntegrity(file, `sha512-${hash}`)
  await writeFile(file, 'contents')
  await t.rejects(checkIntegrity(file, `sha512-${hash}`), { code: 'MISMATCH' })
})

t.test('runtime: a package without Node in it', async (t) => {
  const dir = t.testdir({ package: { 'package.json': '{}' } })
  await sh('tar -czf package.tgz package', { cwd: dir })
  await t.rejects(unpackRuntime(join(dir, 'package.tgz'), dir, new AbortController().signal), {
    code: 'IO_FAILED',
    message: /^unpack ".*package.tgz": tar: package\/bin\/node: Not found in archive/,
  })
})

t.test('runtime: a package without its licence', async (t) => {
  const dir = t.testdir({ package: { bin: { node: '' } } })
  await sh('tar -czf package.tgz package', { cwd: dir })
  await t.rejects(unpackRuntime(join(dir, 'package.tgz'), dir, new AbortController().signal), {
    code: 'IO_FAILED',
    message: /^unpack ".*package.tgz": tar: package\/LICENSE: Not found in archive/,
  })
})

t.test('runtime: an executable for the other processor, or none', async (t) => {
  const dir = t.testdir({ script: '#!/bin/sh\necho not an executable\n', empty: '' })
  await checkArchitecture(`${executables('x64')}/compress_tars`, 'x64')
  await checkArchitecture(`${executables('arm64')}/compress_tars`, 'arm64')
  await t.rejects(checkArchitecture(`${executables('arm64')}/compress_tars`, 'x64'), {
    code: 'MISMATCH',
    message: /: got arm64, want x64$/,
  })
  for (const name of ['script', 'empty']) {
    await t.rejects(checkArchitecture(join(dir, name), 'x64'), { message: /: got no executable/ })
  }
})

t.test('runtime: what npm says of a failure', async (t) => {
  const ending = 'npm error A complete log of this run can be found in: /x.log\n'
  const offline = explainNpm(
    'fetch "x"',
    `npm error code EAI_AGAIN\nnpm error request to https://r/x failed\n${ending}`,
  )
  t.match(offline, {
    code: 'REGISTRY_UNREACHABLE',
    message: 'fetch "x": npm: request to https://r/x failed',
  })
  const absent = explainNpm(
    'fetch "x"',
    `npm error code E404\nnpm error 404 Not Found - GET https://r/x\n${ending}`,
  )
  t.match(absent, { code: 'IO_FAILED', message: 'fetch "x": npm: 404 Not Found - GET https://r/x' })
  t.match(explainNpm('fetch "x"', 'killed\n'), {
    code: 'IO_FAILED',
    message: 'fetch "x": npm: killed',
  })
})

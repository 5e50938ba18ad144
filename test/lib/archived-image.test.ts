import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

import { formatRecord } from '../../lib/archive-record.ts'
import { checkReplaced } from '../../lib/archived-image.ts'
import { parseReference } from '../../lib/image-reference.ts'
import type { Notice } from '../../lib/outcome.ts'
import { xzCoding } from '../fixtures/archive-writing.ts'
import { SAMPLE_RECORD } from '../fixtures/sample-record.ts'

const SAMPLE = parseReference('registry.example/tool:1.0')
const IMAGE = { id: 'sha256:1', repoTags: [], platform: 'linux/amd64', sizeBytes: 1, diffIds: [] }
const RECORD_FILE = 'registry.example_tool-1.0.tar.xz.json'

async function check(dir: string, platform = 'linux/amd64', force = false): Promise<Notice[]> {
  const notices: Notice[] = []
  await checkReplaced(
    SAMPLE,
    { ...IMAGE, platform },
    {
      dir,
      force,
      coding: xzCoding(6),
      compressor: undefined,
      threads: undefined,
      platform: undefined,
      recompress: false,
      reuse: [],
      since: [],
      notify: (notice) => notices.push(notice),
      signal: new AbortController().signal,
    },
  )
  return notices
}

t.test('checkReplaced: the same image may be replaced, another one only by force', async (t) => {
  const dir = t.testdir({ [RECORD_FILE]: formatRecord(SAMPLE_RECORD) })
  t.strictSame(await check(dir), [])
  await t.rejects(check(dir, 'linux/arm64'), { code: 'WRONG_PLATFORM' })
  const [image] = SAMPLE_RECORD.images
  const images = image ? [{ ...image, reference: 'registry.example_tool:1.0' }] : []
  await writeFile(join(dir, RECORD_FILE), formatRecord({ ...SAMPLE_RECORD, images }))
  await t.rejects(check(dir), { code: 'NAME_CLASH', message: /it holds "registry.example_tool:/ })
  t.strictSame(await check(dir, 'linux/arm64', true), [])
})

t.test("checkReplaced: a bad record is in nobody's way, and told", async (t) => {
  const dir = t.testdir({ [RECORD_FILE]: '{}' })
  t.match(await check(dir), [{ type: 'warning', text: /; it is made again$/ }])
})

t.test('checkReplaced: a record that cannot be read is an error', async (t) => {
  const dir = t.testdir({})
  await mkdir(join(dir, RECORD_FILE))
  await t.rejects(check(dir), { code: 'EISDIR' })
})

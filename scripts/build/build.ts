// `npm run build [-- --force]`: builds the four programs as executables for both kinds of
// processor, in dist/.
import { parseArgs } from 'node:util'

import { runCommand } from './command.ts'
import { buildExecutables } from './executables.ts'
import { DIST, ROOT } from './root.ts'

void runCommand('build', async (context) => {
  const { values } = parseArgs({ options: { force: { type: 'boolean', default: false } } })
  await buildExecutables({ ...context, root: ROOT, dist: DIST, force: values.force })
})

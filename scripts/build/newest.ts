// Checks that the Node of a release is the newest of its major version. Executables stay on
// an air-gapped host for years, with all the faults that a later Node has fixed.
import { join } from 'node:path'
import * as v from 'valibot'

import { ToolError } from '../../lib/core/errors.ts'
import { runTool } from './child.ts'
import { ARCHITECTURES, explainNpm, readLock, runtimePackage } from './runtime.ts'

/** What {@link checkNewest} needs. */
export interface NewestOptions {
  /** The directory of package-lock.json. */
  readonly root: string
  readonly signal: AbortSignal
}

const KEEP = 'npm run release -- --keep-runtime'

/**
 * Asks the npm registry for the newest runtime. An answer in npm's cache does not count.
 *
 * @throws MISMATCH if package-lock.json pins a runtime that is not the newest of its major
 *   version, for any processor; REGISTRY_UNREACHABLE or IO_FAILED if the registry gives no
 *   answer
 */
export async function checkNewest({ root, signal }: NewestOptions): Promise<void> {
  const found = await Promise.all(
    ARCHITECTURES.map(async (architecture) => {
      const name = runtimePackage(architecture)
      const { version } = await readLock(join(root, 'package-lock.json'), name)
      const newest = newestOfLine(await askVersions(name, { root, signal }), version)
      if (newest === undefined) throw unanswered(`the registry has no ${version}`, name)
      return { name, version, newest }
    }),
  )
  const older = found.filter(({ version, newest }) => version !== newest)
  if (older.length === 0) return
  const said = older.map(({ name, version, newest }) => `"${name}": got ${version}, want ${newest}`)
  const wanted = found.map(({ name, newest }) => `${name}@${newest}`).join(' ')
  throw new ToolError(
    'MISMATCH',
    `check that the runtime is the newest of its line: ${said.join('; ')}`,
    {
      hint: `npm install --save-exact --save-optional --ignore-scripts ${wanted}, then test and commit; for an earlier release once more: ${KEEP}`,
    },
  )
}

/**
 * @param versions - all versions in the registry, in any order
 * @param version - the version that the release uses
 * @returns the newest release of the same major version, or undefined if `version` is not in
 *   `versions`
 */
export function newestOfLine(versions: readonly string[], version: string): string | undefined {
  if (!versions.includes(version)) return undefined
  const [major] = version.split('.')
  return versions
    .filter((each) => RELEASE.test(each) && each.split('.')[0] === major)
    .toSorted(compareReleases)
    .at(-1)
}

const RELEASE = /^\d+\.\d+\.\d+$/

function compareReleases(left: string, right: string): number {
  return left.localeCompare(right, 'en', { numeric: true })
}

// These override the user's settings of npm: an answer from its cache may be a year old.
const NPM = ['--loglevel=error', '--offline=false', '--prefer-offline=false']
// By default npm waits three times for five minutes for a registry that does not answer.
const LIMITS = ['--fetch-timeout=30000', '--fetch-retries=1', '--fetch-retry-mintimeout=1000']

const Versions = v.union([v.array(v.string()), v.string()])

async function askVersions(
  name: string,
  { root, signal }: NewestOptions,
): Promise<readonly string[]> {
  const output = await runTool('npm', ['view', name, 'versions', '--json', ...NPM, ...LIMITS], {
    cwd: root,
    signal,
    toError: (text) => {
      const { code, message } = explainNpm(ASKING(name), text)
      return new ToolError(code, message, { hint: UNANSWERED })
    },
  })
  const answer = v.safeParse(v.pipe(v.string(), v.parseJson(), Versions), output)
  if (!answer.success) throw unanswered('the registry tells no versions', name)
  return [answer.output].flat()
}

const ASKING = (name: string): string => `ask for the newest "${name}"`
const UNANSWERED = `a release asks the npm registry whether its Node is the newest: check network and HTTPS_PROXY; not to ask: ${KEEP}`

function unanswered(why: string, name: string): ToolError {
  return new ToolError('IO_FAILED', `${ASKING(name)}: ${why}`, { hint: UNANSWERED })
}

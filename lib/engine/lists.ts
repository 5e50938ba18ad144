// Lists the names and the layers of the images that an engine has.
import * as v from 'valibot'

import type { ErrorCode } from '../core/errors.ts'
import { chainIds } from '../image/chain-id.ts'
import type { CommandResult } from '../io/run-command.ts'
import { answerError, askEngine, runEngine, type Engine } from './engine.ts'

/** @returns the names, with tags, of all images that the engine has */
export async function listTags(engine: Engine): Promise<string[]> {
  const names = await list(engine, ['--format', '{{.Repository}}:{{.Tag}}'])
  return names.filter((name) => !name.includes('<none>'))
}

/** @returns the IDs of all images without a name */
export async function listUntagged(engine: Engine): Promise<string[]> {
  const ids = await list(engine, ['--quiet', '--no-trunc', '--filter', 'dangling=true'])
  return [...new Set(ids)]
}

/**
 * @returns the chain IDs of the layers of all images that the engine has. An image that cannot
 *   be inspected, for example because it was just removed, is left out.
 * @throws NO_ENGINE, ENGINE_DOWN or ENGINE_DENIED if the engine does not answer; ENGINE_FAILED;
 *   INTERRUPTED
 */
export async function listChains(engine: Engine): Promise<Set<string>> {
  const ids = [...new Set(await list(engine, ['--all', '--quiet', '--no-trunc']))]
  const chains = new Set<string>()
  for (let from = 0; from < ids.length; from += IDS_AT_ONCE) {
    for (const line of await inspectLayers(engine, ids.slice(from, from + IDS_AT_ONCE))) {
      const layers = v.parse(v.nullish(v.array(v.string()), []), JSON.parse(line))
      for (const chain of chainIds(layers)) chains.add(chain)
    }
  }
  return chains
}

// One ID takes 72 bytes, and a command line has room for 128 KiB.
const IDS_AT_ONCE = 500

async function inspectLayers(engine: Engine, ids: readonly string[]): Promise<string[]> {
  const format = ['--format', '{{json .RootFS.Layers}}']
  const answer = await runEngine(engine, ['image', 'inspect', ...format, '--', ...ids])
  if (answer.exitCode !== 0) {
    const error = answerError('inspect all images', answer)
    if (answer.exitCode === null || NO_ANSWER.has(error.code)) throw error
  }
  return linesOf(answer)
}

const NO_ANSWER = new Set<ErrorCode>(['NO_ENGINE', 'ENGINE_DOWN', 'ENGINE_DENIED'])

async function list(engine: Engine, args: readonly string[]): Promise<string[]> {
  return linesOf({ stdout: await askEngine(engine, 'list images', ['image', 'ls', ...args]) })
}

function linesOf({ stdout }: Pick<CommandResult, 'stdout'>): string[] {
  return stdout.split('\n').filter(Boolean)
}

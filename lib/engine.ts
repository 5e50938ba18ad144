// The container engine, by its command: short questions by ask.ts, image
// bytes through streams.
import * as v from 'valibot'

import { ask, NOT_FOUND, type Answer } from './ask.ts'
import { chainIds } from './chain-id.ts'
import { startChild, type Child } from './child.ts'
import { engineError } from './engine-error.ts'
import { parseInspection, type EngineImage, type Inspection } from './engine-image.ts'
import { ToolError, interrupted } from './errors.ts'

/** The commands that are known, most preferred first. */
export const ENGINE_NAMES = ['docker', 'podman', 'nerdctl'] as const

/** One of {@link ENGINE_NAMES}. */
export type EngineName = (typeof ENGINE_NAMES)[number]

/** A container engine that answers. */
export interface Engine {
  readonly name: EngineName
  /** Whether image IDs are config digests, as on docker's graph drivers and podman; else they are manifest digests. */
  readonly idIsConfig: boolean
  /** Whether `save` takes `--platform` (API 1.48). */
  readonly savesPlatform: boolean
  /** Whether one name may mean several platforms, and `image inspect` takes `--platform` (API 1.49). */
  readonly inspectsPlatform: boolean
  /** Ends what it is asked. */
  readonly signal?: AbortSignal
}

/**
 * @param name - which one; without it, the first on PATH
 * @param signal - ends what it is asked, now and later
 * @throws NO_ENGINE, ENGINE_DOWN, ENGINE_DENIED, ENGINE_FAILED or INTERRUPTED
 */
export async function findEngine(
  name: EngineName | undefined,
  signal: AbortSignal,
): Promise<Engine> {
  for (const candidate of name === undefined ? ENGINE_NAMES : [name]) {
    const found = await probe({ name: candidate, signal })
    if (found) return found
  }
  throw new ToolError(
    'NO_ENGINE',
    name === undefined
      ? `find a container engine: none of ${ENGINE_NAMES.join(', ')} is on PATH`
      : `find the container engine: "${name}" is not on PATH`,
    { hint: 'install docker, or name another engine with --engine' },
  )
}

/**
 * @param reference - a name or an image ID
 * @param platform - which one, where the name means several; without it the engine's own
 * @returns the image, or undefined where the engine has none of that name; of
 *   another platform, where it has that one only
 */
export async function inspectImage(
  engine: Engine,
  reference: string,
  platform?: string,
): Promise<EngineImage | undefined> {
  const found = await inspect(engine, reference)
  if (!found?.isIndex || !engine.inspectsPlatform) return found?.image
  const one = await inspect(engine, reference, platform ?? found.image.platform)
  return one ? { ...one.image, id: found.image.id, manifestDigest: one.image.id } : found.image
}

/** @returns the names, with tags, of all images that the engine has. */
export async function listTags(engine: Engine): Promise<string[]> {
  const args = ['image', 'ls', '--format', '{{.Repository}}:{{.Tag}}']
  const answer = await run(engine, args)
  if (answer.exitCode !== 0) throw engineError('list images', answer.stderr)
  return answer.stdout.split('\n').filter((name) => name !== '' && !name.includes('<none>'))
}

/** @returns the IDs of all images that have no name. */
export async function listUntagged(engine: Engine): Promise<string[]> {
  const args = ['image', 'ls', '--quiet', '--no-trunc', '--filter', 'dangling=true']
  const answer = await run(engine, args)
  if (answer.exitCode !== 0) throw engineError('list images', answer.stderr)
  return [...new Set(answer.stdout.split('\n').filter(Boolean))]
}

/** @returns whether its store takes an image without the layers that it has: docker's graph drivers do. */
export function takesParts({ name, idIsConfig }: Engine): boolean {
  return name === 'docker' && idIsConfig
}

/** @returns the chain IDs of the layers of all images that the engine has. */
export async function listChains(engine: Engine): Promise<Set<string>> {
  const args = ['image', 'ls', '--all', '--quiet', '--no-trunc']
  const listed = await run(engine, args)
  if (listed.exitCode !== 0) throw engineError('list images', listed.stderr)
  const ids = [...new Set(listed.stdout.split('\n').filter(Boolean))]
  const chains = new Set<string>()
  for (let from = 0; from < ids.length; from += IDS_AT_ONCE) {
    const lines = await inspectLayers(engine, ids.slice(from, from + IDS_AT_ONCE))
    for (const line of lines) {
      const layers = v.parse(v.nullish(v.array(v.string()), []), JSON.parse(line))
      for (const chain of chainIds(layers)) chains.add(chain)
    }
  }
  return chains
}

// A command has 128 KiB, and an ID takes 72 bytes.
const IDS_AT_ONCE = 500

async function inspectLayers(engine: Engine, ids: readonly string[]): Promise<string[]> {
  const format = ['--format', '{{json .RootFS.Layers}}']
  const answer = await run(engine, ['image', 'inspect', ...format, '--', ...ids])
  const error = engineError('inspect all images', answer.stderr)
  // An image may be gone by now: what is said of the others counts.
  if (answer.exitCode !== 0 && error.code !== 'NO_IMAGE') throw error
  return answer.stdout.split('\n').filter(Boolean)
}

/** Gives an image another name, as `docker tag` does. */
export async function tagImage(engine: Engine, reference: string, tag: string): Promise<void> {
  const answer = await run(engine, ['tag', '--', reference, tag])
  if (answer.exitCode !== 0) throw engineError(`tag "${reference}"`, answer.stderr)
}

/**
 * @param platform - the image's own: where its name means several, all would be saved
 * @returns a child whose stdout is the image's tar
 */
export function startSave(engine: Engine, reference: string, platform: string): Child {
  const choice = platform.includes('/') && engine.savesPlatform ? ['--platform', platform] : []
  return startChild(engine.name, ['save', ...choice, reference], {
    explain: (stderr) => engineError(`save "${reference}"`, stderr),
  })
}

/** @returns a child whose stdin takes an image's tar. */
export function startLoad(engine: Engine, what: string): Child {
  const child = startChild(engine.name, ['load'], {
    explain: (stderr) => engineError(`load "${what}"`, stderr),
  })
  child.stdout.resume()
  return child
}

async function inspect(
  engine: Engine,
  reference: string,
  platform?: string,
): Promise<Inspection | undefined> {
  const choice = platform === undefined ? [] : ['--platform', platform]
  const answer = await run(engine, ['image', 'inspect', ...choice, '--', reference])
  if (answer.exitCode === 0) return parseInspection(answer.stdout)
  const error = engineError(`inspect "${reference}"`, answer.stderr)
  if (error.code === 'NO_IMAGE' || error.code === 'WRONG_PLATFORM') return undefined
  throw error
}

type Asked = Pick<Engine, 'name' | 'signal'>

async function run({ name, signal }: Asked, args: readonly string[]): Promise<Answer> {
  const answer = await ask(name, args, signal)
  // What was said until then may be cut off.
  if (signal?.aborted) throw interrupted()
  return answer
}

async function probe(asked: Asked): Promise<Engine | undefined> {
  const { name } = asked
  const args = name === 'docker' ? ['info', '--format', '{{json .}}'] : ['version']
  const answer = await run(asked, args)
  if (answer.exitCode === NOT_FOUND) return undefined
  if (answer.exitCode !== 0) throw engineError(`ask ${name}`, answer.stderr || answer.stdout)
  if (name !== 'docker') {
    const idIsConfig = name === 'podman'
    return { ...asked, idIsConfig, savesPlatform: false, inspectsPlatform: false }
  }
  const parsed = v.safeParse(Info, answer.stdout)
  // Some clients call it a success that the daemon is down: docker/cli#5900.
  if (!parsed.success || parsed.output.ServerVersion === '') {
    throw engineError(`ask ${name}`, answer.stderr || 'cannot connect to the docker daemon')
  }
  const info = parsed.output
  const versions = [info.ServerVersion, info.ClientInfo?.Version ?? ''].map(Number.parseFloat)
  const idIsConfig = !JSON.stringify(info.DriverStatus).includes('io.containerd.snapshotter')
  return {
    ...asked,
    idIsConfig,
    savesPlatform: versions.every((version) => version >= 28),
    inspectsPlatform: !idIsConfig && versions.every((version) => version >= 28.1),
  }
}

const Info = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    ServerVersion: v.string(),
    DriverStatus: v.nullish(v.unknown(), []),
    ClientInfo: v.optional(v.object({ Version: v.optional(v.string()) })),
  }),
)

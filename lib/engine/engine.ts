// Runs the container engine by its command. Short answers come as text, by run-command.ts; the
// bytes of images go through streams, by child.ts.
import { ToolError, interrupted } from '../core/errors.ts'
import type { StoredImage } from '../image/source.ts'
import { startChild } from '../io/child.ts'
import { runCommand, NOT_FOUND, type CommandResult } from '../io/run-command.ts'
import type { Task } from '../io/task.ts'
import { containerdStore } from './containerd-store.ts'
import { engineError, unpackError } from './error.ts'
import { graphDriverStore } from './graph-driver-store.ts'
import { parseInfo, type EngineInfo } from './info.ts'
import { parseInspection, type Inspection } from './inspect.ts'
import { createListener, type Loading } from './said.ts'

/** The commands of the supported engines, the preferred one first. */
export const ENGINE_NAMES = ['docker', 'podman', 'nerdctl'] as const

/** One of {@link ENGINE_NAMES}. */
export type EngineName = (typeof ENGINE_NAMES)[number]

/** A container engine that answered when this run looked for it. */
export interface Engine extends EngineInfo {
  readonly name: EngineName
  /** Ends the engine's commands. */
  readonly signal?: AbortSignal
}

/**
 * @param name - the engine to use; if undefined, the first one on PATH
 * @param signal - ends the commands of this engine, now and later
 * @throws NO_ENGINE if it is not on PATH; ENGINE_DOWN or ENGINE_DENIED if it cannot be reached;
 *   ENGINE_FAILED for any other failure; INTERRUPTED
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
 * @param platform - the wanted platform, if the name stands for several; by default the
 *   engine's own
 * @returns the image, or undefined if the engine has none of this name. It has another platform
 *   if the engine has only that one.
 */
export async function inspectImage(
  engine: Engine,
  reference: string,
  platform?: string,
): Promise<StoredImage | undefined> {
  const found = await inspect(engine, reference)
  if (!found?.isIndex || !engine.inspectsPlatform) return found?.image
  const one = await inspect(engine, reference, platform ?? found.image.platform)
  if (!one) return found.image
  const { id, index } = found.image
  return { ...one.image, id, manifestDigest: one.image.id, ...(index && { index }) }
}

type Asked = Pick<Engine, 'name' | 'signal'>

/**
 * @returns the result of an engine command, also if it failed
 * @throws INTERRUPTED if the signal ended it
 */
export async function runEngine(
  { name, signal }: Asked,
  args: readonly string[],
): Promise<CommandResult> {
  const answer = await runCommand(name, args, signal)
  // The output of a command that was ended may be incomplete.
  if (signal?.aborted) throw interrupted()
  return answer
}

/**
 * @param action - what the command is for, as in {@link engineError}
 * @returns the stdout of the command
 * @throws INTERRUPTED; or the error of {@link answerError} if the command fails
 */
export async function askEngine(
  engine: Asked,
  action: string,
  args: readonly string[],
): Promise<string> {
  const answer = await runEngine(engine, args)
  if (answer.exitCode !== 0) throw answerError(action, answer)
  return answer.stdout
}

/** @returns the error for a command that failed */
export function answerError(
  action: string,
  { exitCode, stdout, stderr }: CommandResult,
): ToolError {
  if (exitCode === NOT_FOUND) return engineError(action, 'command not found')
  const end = exitCode === null ? 'a signal' : `status ${exitCode}`
  return engineError(action, stderr.trim() || stdout.trim() || `it ended with ${end}`)
}

/** Gives an image another name, as `docker tag` does. */
export async function tagImage(engine: Engine, reference: string, tag: string): Promise<void> {
  await askEngine(engine, `tag "${reference}"`, ['tag', '--', reference, tag])
}

/**
 * Chooses the platform for a save. Without one, an engine saves all platforms that the name
 * stands for.
 *
 * @param platform - the platform of the image
 * @returns the value for `--platform`, or undefined if the engine has no such option
 */
export function platformToSave(engine: Engine, platform: string): string | undefined {
  return platform.includes('/') && engine.savesPlatform ? platform : undefined
}

/**
 * @param platform - the platform of the image
 * @returns a child whose stdout is the tar of the image
 */
export function startSave(engine: Engine, reference: string, platform: string): Task {
  const chosen = platformToSave(engine, platform)
  const choice = chosen === undefined ? [] : ['--platform', chosen]
  return startChild(engine.name, ['save', ...choice, reference], {
    toError: (stderr) => engineError(`save "${reference}"`, stderr),
  })
}

/**
 * @returns a child whose stdin takes the tar of an image. It fails also if the engine reports
 *   that it could not unpack the image.
 */
export function startLoad(engine: Engine, what: string): Loading {
  const action = `load "${what}"`
  const child = startChild(engine.name, ['load'], {
    toError: (stderr) => engineError(action, stderr),
  })
  const { hear, said } = createListener()
  child.stdout.setEncoding('utf8').on('data', hear)
  const end = async (): Promise<void> => {
    await child.exited
    const failure = unpackError(action, said().failure ?? '')
    if (failure) throw failure
  }
  const exited = end()
  exited.catch(() => {})
  return { ...child, exited, said }
}

async function inspect(
  engine: Engine,
  reference: string,
  platform?: string,
): Promise<Inspection | undefined> {
  const choice = platform === undefined ? [] : ['--platform', platform]
  const answer = await runEngine(engine, ['image', 'inspect', ...choice, '--', reference])
  if (answer.exitCode === 0) return parseInspection(answer.stdout)
  const error = answerError(`inspect "${reference}"`, answer)
  if (error.code === 'NO_IMAGE' || error.code === 'WRONG_PLATFORM') return undefined
  throw error
}

async function probe(asked: Asked): Promise<Engine | undefined> {
  const { name } = asked
  const args = name === 'docker' ? ['info', '--format', '{{json .}}'] : ['version']
  const answer = await runEngine(asked, args)
  if (answer.exitCode === NOT_FOUND) return undefined
  if (answer.exitCode !== 0) throw answerError(`ask ${name}`, answer)
  if (name !== 'docker') {
    const store = name === 'podman' ? graphDriverStore(false) : containerdStore(false)
    return { ...asked, store, savesPlatform: false, inspectsPlatform: false }
  }
  const info = parseInfo(answer.stdout, process.env['DOCKER_HOST'])
  if (!info) {
    throw engineError(`ask ${name}`, answer.stderr || 'cannot connect to the docker daemon')
  }
  return { ...asked, ...info }
}

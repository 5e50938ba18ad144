// `npm start`: one sample image goes the whole way through the executables, over
// a real engine and a real registry that are started for this and gone afterwards. It says what it
// does, shows each command as it could be typed, and stops at the first failure.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { startEngine, type Engine } from './fixtures/docker-engine.ts'
import { startRegistry, type Registry } from './fixtures/registry.ts'
import { programFile, type Program } from './fixtures/run.ts'
import { GREETING, buildImage, busyboxLayer, dataLayer } from './fixtures/sample-images.ts'

/** The directory that commands run in, and the engine that they talk to. */
interface Place {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

async function demo(): Promise<void> {
  say(
    'Starting a Docker Engine and a registry of its own; nothing else on this machine is touched.',
  )
  const engine = await startEngine()
  try {
    const registry = await startRegistry()
    const connected = { cwd: join(engine.dir, 'demo'), env: engine.env }
    const reference = await prepare(engine, registry, connected).finally(registry.stop)
    say('The registry is stopped, and the image removed: from here on there is no network.')
    await show('docker', ['image', 'rm', '--force', reference], connected)
    await farSide(reference, { ...connected, cwd: join(connected.cwd, 'carry') })
  } finally {
    say('Removing engine, images and archives.')
    await engine.stop()
  }
  say('Done: the image was saved, verified, carried, verified again, loaded and run.')
}

async function prepare(engine: Engine, registry: Registry, place: Place): Promise<string> {
  await mkdir(join(place.cwd, 'carry'), { recursive: true })
  say('Pushing a sample image to the registry, and removing it here: it is to be pulled.')
  const layers = [await busyboxLayer(), dataLayer('train')]
  const { reference } = await buildImage(engine, registry, {
    name: 'sample/train:24.05-py3',
    layers,
  })
  await engine.docker('image', 'rm', '--force', reference)
  say('The tools, as they are built for this machine: nothing else is needed to run them.')
  await tool('load_compressed_tars', ['--version'], place)
  say('The connected host. images_list.txt names what is wanted, one image a line.')
  await writeFile(join(place.cwd, 'images_list.txt'), `${reference}\n`)
  await show('cat', ['images_list.txt'], place)
  say('Pull, save and compress it into the delivery.')
  await tool('save_compressed_tars', ['--dir', 'carry'], place)
  await show('ls', ['-l', 'carry'], place)
  say('Check the archive against a fresh `docker save` of the same image.')
  await tool('verify_checksums', ['--dir', 'carry'], place)
  say('Compress a tar that `docker save` wrote before.')
  await show('docker', ['save', '--output', 'saved-before.tar', reference], place)
  await tool('compress_tars', ['--dir', 'carry', 'saved-before.tar'], place)
  return reference
}

async function farSide(reference: string, place: Place): Promise<void> {
  say('The air-gapped host. The engine has no image; the delivery is all there is.')
  await show('docker', ['image', 'ls'], place)
  say('Check the archives: without the image, their metadata verify them.')
  await tool('verify_checksums', [], place)
  await show('sha256sum', ['--check', 'SHA256SUMS'], place)
  say('Load them. Both hold the same image: the second has nothing left to do.')
  await tool('load_compressed_tars', [], place)
  say('Run a program of the image; it prints a file of the image.')
  const file = `/${GREETING.path}`
  await show('docker', ['run', '--rm', '--network', 'none', reference, 'cat', file], place)
}

function tool(name: Program, args: readonly string[], place: Place): Promise<void> {
  return show(name, args, place, programFile(name, 'executable'))
}

async function show(
  name: string,
  args: readonly string[],
  { cwd, env }: Place,
  file = name,
): Promise<void> {
  console.log(`$ ${[name, ...args].join(' ')}`)
  const child = spawn(file, args, { cwd, env: { ...process.env, ...env }, stdio: 'inherit' })
  const [status, signal] = await once(child, 'exit')
  if (status !== 0) throw new Error(`run "${name}": got ${status ?? signal}, want 0`)
}

function say(text: string): void {
  console.log(`\n=== ${text}`)
}

await demo()

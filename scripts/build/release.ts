// `npm run release [-- --keep-runtime]`: dist/release/ with one archive for each kind
// of machine, to be unpacked on a host or carried as it is, and their SHA256SUMS.
import { copyFile, link, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { ToolError } from '../../lib/core/errors.ts'
import { readOrigin } from '../../lib/cli/origin.ts'
import { runTool } from './child.ts'
import { runCommand, type CommandContext } from './command.ts'
import { BUILT, PLATFORMS, buildExecutables, writeSums } from './executables.ts'
import { checkNewest } from './newest.ts'
import { publish, withOutput } from './output.ts'
import { DIST, ROOT } from './root.ts'

const COPIED = ['images_list.txt', 'README.md', 'docs/verification.md', 'LICENSE']

// An earlier commit gives the same bytes as it did, and a host without a network can
// pack what it has built: neither may ask for the newest.
const OPTIONS = { 'keep-runtime': { type: 'boolean', default: false } } as const

async function release(context: CommandContext): Promise<void> {
  const { values } = parseArgs({ options: OPTIONS })
  if (values['keep-runtime']) {
    context.say('the runtime is that of package-lock.json; it may not be the newest of its line')
  } else await checkNewest({ root: ROOT, signal: context.signal })
  await buildExecutables({ ...context, root: ROOT, dist: DIST, force: false })
  const { version } = readOrigin()
  await withOutput(DIST, async (dir) => {
    const made = join(dir, 'release')
    await mkdir(made)
    const archives: string[] = []
    for (const platform of PLATFORMS) {
      const name = `dgx-offline-images-${version}-${platform}`
      context.say(`packing ${name}.tar.xz`)
      await stage(join(dir, name), platform)
      await pack(name, dir, context.signal)
      archives.push(`${name}.tar.xz`)
    }
    await writeSums(made, archives)
    await publish(made, join(DIST, 'release'), dir)
  })
  context.say(`made "${join(DIST, 'release')}"`)
}

async function stage(dir: string, platform: string): Promise<void> {
  await mkdir(join(dir, 'docs'), { recursive: true })
  for (const name of BUILT) await link(join(DIST, platform, name), join(dir, name))
  for (const name of COPIED) await copyFile(join(ROOT, name), join(dir, name))
  await writeSums(dir, [...BUILT, ...COPIED])
}

// A dictionary larger than an executable finds that all four have the same
// runtime: a quarter of the size. Unpacking takes as much memory, 128 MiB. Preset 1
// took 1.5 times as long for 5 % less, and a higher one 16 times that for 12 %.
const XZ = 'xz --lzma2=preset=0,nice=273,dict=128MiB'

// The same files give the same archive: no times, no owners.
const TAR = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner']
const MODES = ['--mode=u+rwX,go+rX,go-w', '--format=ustar']

async function pack(name: string, dir: string, signal: AbortSignal): Promise<void> {
  const args = ['-c', '-f', `release/${name}.tar.xz`, '-I', XZ, ...TAR, ...MODES, name]
  await runTool('tar', args, {
    cwd: dir,
    signal,
    toError: (text) => new ToolError('IO_FAILED', `pack "${name}": ${text.trim()}`),
  })
}

void runCommand('release', release)

// `npm run release [-- --keep-runtime]`: makes dist/release/ with one archive for each kind
// of processor, and SHA256SUMS. A user unpacks an archive on a host, or carries it as it is.
import { copyFile, link, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { readOrigin } from '../../lib/cli/origin.ts'
import { ToolError } from '../../lib/core/errors.ts'
import { runTool } from './child.ts'
import { runCommand, type CommandContext } from './command.ts'
import { BUILT, PLATFORMS, buildExecutables, writeSums } from './executables.ts'
import { checkNewest } from './newest.ts'
import { publish, withOutput } from './output.ts'
import { DIST, ROOT } from './root.ts'

const COPIED = ['images_list.txt', 'README.md', 'docs/verification.md', 'LICENSE']

// --keep-runtime skips the check for the newest runtime. It is for an earlier commit, which
// must give the same bytes again, and for a host without a network.
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

// All four executables have the same runtime. With a dictionary larger than an executable,
// xz stores it once, and the archive has a quarter of the size. Unpacking takes the memory
// of the dictionary, 128 MiB. Preset 1 took 1.5 times as long for 5 % less, and a higher one
// 16 times that for 12 %.
const XZ = 'xz --lzma2=preset=0,nice=273,dict=128MiB'

// Constant times and owners: the same files give the same archive.
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

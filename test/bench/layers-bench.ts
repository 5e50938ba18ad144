// What it saves that a layer is compressed, carried and loaded once. Every
// round takes all steps of the tool, and the plain pipelines for the same images.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'

import { formatBytes } from '../../lib/core/format.ts'
import { say } from './measured-run.ts'
import { time } from './paired-timing.ts'
import { formatMs, type Row } from './result-table.ts'
import {
  CHANGED,
  NAMES,
  archiveOf,
  buildSharedImages,
  compareRounds,
  type SharedImages,
} from './shared-images.ts'
import { checkDisk, type Workbench } from './workbench.ts'

// LZMA takes its time; a load is over so soon that larger images tell more.
const SAVED_BYTES = 105e6
const LOADED_BYTES = 400e6
const SAVE_ROUNDS = 3
// What the disk has to do beside it makes them differ.
const LOAD_ROUNDS = 5
const DISK_GIB = 12

/** Times saves and loads of images that share layers, and weighs an increment. */
export async function benchLayers(workbench: Workbench): Promise<Row[]> {
  await checkDisk(DISK_GIB)
  const engine = await workbench.engine()
  const saved = await buildSharedImages(engine, SAVED_BYTES)
  const rows = await benchSaves(saved)
  await saved.remove()
  const loaded = await buildSharedImages(engine, LOADED_BYTES)
  rows.push(...(await benchLoads(loaded)))
  await loaded.remove()
  return rows
}

async function benchSaves(images: SharedImages): Promise<Row[]> {
  const { sh, makeDir, run } = images
  const rounds: { plainMs: number; saveMs: number; changedMs: number }[] = []
  const each = `for name in ${NAMES.join(' ')}; do docker save $name`
  const last = NAMES.at(-1) ?? ''
  const dir = await makeDir('layers')
  await sh(dir, `docker tag ${last} bench/original`)
  // Whoever is first would read the images from disk.
  await sh(dir, `${each} >/dev/null; done`)
  const sync = (): Promise<void> => sh(dir, 'sync')
  for (let round = 1; round <= SAVE_ROUNDS; round++) {
    await makeDir('layers')
    const save = () => run('save_compressed_tars', '--no-pull', '--dir', dir, ...NAMES)
    const plainMs = await time(() => sh(dir, `${each} | pixz -t >plain; done; rm plain`), sync)
    const saveMs = await time(save, sync)
    if (round === 1) await saveIncrement(images, dir)
    await sh(dir, `docker tag ${CHANGED} ${last}`)
    const changedMs = await time(save, sync)
    await sh(dir, `docker tag bench/original ${last}`)
    rounds.push({ plainMs, saveMs, changedMs })
    const times = [plainMs, saveMs, changedMs].map(formatMs).join(', ')
    say(`  ${round}/${SAVE_ROUNDS}: plain, tool, one changed: ${times}`)
  }
  await sh(dir, 'docker image rm bench/original')
  const size = `three images of ${SAVED_BYTES / 1e6} MB`
  const compare = (what: string, bound: number, of: 'saveMs' | 'changedMs'): Row => {
    const pairs = rounds.map(({ plainMs, [of]: toolMs }) => ({ plainMs, toolMs }))
    return compareRounds(what, bound, pairs)
  }
  return [
    compare(`save ${size} that share 90 %`, 0.45, 'saveMs'),
    compare('save them again, one changed in its last layer', 0.15, 'changedMs'),
    await weighIncrement(dir),
  ]
}

const INCREMENT = 'increment'

// Beside the three of before, which have been delivered.
async function saveIncrement({ run, makeDir }: SharedImages, since: string): Promise<void> {
  const dir = await makeDir(INCREMENT)
  await run('save_compressed_tars', '--no-pull', '--since', since, '--dir', dir, CHANGED)
}

async function weighIncrement(dir: string): Promise<Row> {
  const increment = archiveOf(CHANGED).replace('.tar', '.increment.tar')
  const toolBytes = (await stat(join(dir, '..', INCREMENT, increment))).size
  // The last of the three is the changed one by now.
  const fullBytes = (await stat(join(dir, archiveOf(NAMES.at(-1) ?? '')))).size
  return {
    measure: 'increment of the changed image, its archive in full',
    tool: formatBytes(toolBytes),
    plain: formatBytes(fullBytes),
    ratio: (toolBytes / fullBytes).toFixed(3),
    bound: 'ratio ≤ 0.15',
    held: toolBytes <= 0.15 * fullBytes,
  }
}

async function benchLoads({ sh, makeDir, run, remove }: SharedImages): Promise<Row[]> {
  const dir = await makeDir('layers')
  say('  archiving them')
  await run('save_compressed_tars', '--no-pull', '--level', '0', '--dir', dir, ...NAMES)
  const plain = `for archive in ${NAMES.map(archiveOf).join(' ')}; do pixz -d <$archive | docker load; done`
  const load = () => run('load_compressed_tars', '--dir', dir, ...NAMES)
  const rounds: { plainMs: number; loadMs: number; againMs: number }[] = []
  for (let round = 1; round <= LOAD_ROUNDS; round++) {
    const plainMs = await time(() => sh(dir, plain), remove)
    const loadMs = await time(load, remove)
    const againMs = await time(load)
    rounds.push({ plainMs, loadMs, againMs })
    const times = [plainMs, loadMs, againMs].map(formatMs).join(', ')
    say(`  ${round}/${LOAD_ROUNDS}: plain, tool, again: ${times}`)
  }
  const compare = (what: string, bound: number, of: 'loadMs' | 'againMs'): Row => {
    const pairs = rounds.map(({ plainMs, [of]: toolMs }) => ({ plainMs, toolMs }))
    return compareRounds(what, bound, pairs)
  }
  return [
    compare(`load three images of ${LOADED_BYTES / 1e6} MB that share 90 %`, 0.6, 'loadMs'),
    compare('load them again, all there', 0.05, 'againMs'),
  ]
}

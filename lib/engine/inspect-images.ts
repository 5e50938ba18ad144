// Inspects many images with one command, because the engine's command takes longer to start
// than to answer.
import type { StoredImage } from '../image/source.ts'
import { inspectImage, runEngine, type Engine } from './engine.ts'
import { parseInspections } from './inspect.ts'

// An answer has some kB for each image, and the command line has room for this many names.
const MAX_AT_ONCE = 50

/**
 * @param references - names
 * @param platform - as for {@link inspectImage}, whose results this returns
 * @returns the images that the engine has, by these names
 */
export async function inspectImages(
  engine: Engine,
  references: readonly string[],
  platform?: string,
): Promise<ReadonlyMap<string, StoredImage>> {
  const found = new Map<string, StoredImage>()
  for (let start = 0; start < references.length; start += MAX_AT_ONCE) {
    const some = references.slice(start, start + MAX_AT_ONCE)
    const known = await inspectTogether(engine, some)
    for (const reference of some) {
      const image = known.get(reference) ?? (await inspectImage(engine, reference, platform))
      if (image) found.set(reference, image)
    }
  }
  return found
}

// Docker answers in the order of the names. If one image is missing, the answers can no longer
// be matched to the names, so each name is then inspected alone. So is each index, which needs
// a second question for one platform.
async function inspectTogether(
  engine: Engine,
  references: readonly string[],
): Promise<ReadonlyMap<string, StoredImage>> {
  if (engine.name !== 'docker' || references.length < 2) return new Map()
  const answer = await runEngine(engine, ['image', 'inspect', '--', ...references])
  if (answer.exitCode !== 0) return new Map()
  const all = parseInspections(answer.stdout)
  if (all.length !== references.length) return new Map()
  const pairs = references.map((reference, index) => ({ reference, inspection: all[index] }))
  return new Map(
    pairs.flatMap(({ reference, inspection }): [string, StoredImage][] => {
      const isWhole = inspection && !(inspection.isIndex && engine.inspectsPlatform)
      return isWhole ? [[reference, inspection.image]] : []
    }),
  )
}

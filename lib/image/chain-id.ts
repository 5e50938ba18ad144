// Computes chain IDs: a graph-driver store identifies a layer by the layer and all those
// below it.
import { digestOf } from './digest.ts'

/**
 * @param diffIds - the diffIDs of the layers of an image, from the base upwards
 * @returns the chain ID of each layer, in the same order
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md#layer-chainid
 */
export function chainIds(diffIds: readonly string[]): string[] {
  const chain: string[] = []
  for (const diffId of diffIds) {
    const below = chain.at(-1)
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`))
  }
  return chain
}

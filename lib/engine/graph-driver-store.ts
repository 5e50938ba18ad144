// The older store: docker's graph drivers, such as overlay2, and podman. It keeps layers
// unpacked, and the ID of an image is the digest of its config, which is the same on every
// host.
import type { ImageStore } from './image-store.ts'

const mayBeSame: ImageStore['mayBeSame'] = ({ id }, { config }) => id === config.digest

/**
 * @param takesPartialTar - whether it loads a tar without the layers that it has: docker does,
 *   podman does not
 */
export function graphDriverStore(takesPartialTar: boolean): ImageStore {
  return {
    takesPartialTar,
    keepsBlobs: false,
    unpacksApart: false,
    mayBeSame,
    isOther: (image, archived) => !mayBeSame(image, archived),
    isSame: mayBeSame,
    idsOf: ({ config }) => [config.digest],
    loadedIds: (images) => new Set(images.map(({ config }) => config.digest)),
    difference: ({ id }, { config }) => ({ what: 'ID', got: id, want: config.digest }),
  }
}

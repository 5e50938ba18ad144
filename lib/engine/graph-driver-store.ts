// The older store: docker's graph drivers, such as overlay2, and podman. Layers lie there
// unpacked, and an image's ID is the digest of its config, the same everywhere.
import type { ImageStore } from './image-store.ts'

const mayBeSame: ImageStore['mayBeSame'] = ({ id }, { config }) => id === config.digest

/** @param takesPartialTar - docker's do, podman's does not */
export function graphDriverStore(takesPartialTar: boolean): ImageStore {
  return {
    takesPartialTar,
    keepsBlobs: false,
    laysOutApart: false,
    mayBeSame,
    isOther: (image, archived) => !mayBeSame(image, archived),
    isSame: mayBeSame,
    idsOf: ({ config }) => [config.digest],
    loadedIds: (images) => new Set(images.map(({ config }) => config.digest)),
    difference: ({ id }, { config }) => ({ what: 'ID', got: id, want: config.digest }),
  }
}

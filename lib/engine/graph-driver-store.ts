// The older store: docker's graph drivers, such as overlay2, and podman. Layers lie there
// unpacked, and an image's ID is the digest of its config, the same everywhere.
import type { ImageStore } from './image-store.ts'

const mayBeSame: ImageStore['mayBeSame'] = ({ id }, { configDigest }) => id === configDigest

/** @param takesPartialTar - docker's do, podman's does not */
export function graphDriverStore(takesPartialTar: boolean): ImageStore {
  return {
    takesPartialTar,
    keepsBlobs: false,
    laysOutApart: false,
    mayBeSame,
    isOther: (image, archived) => !mayBeSame(image, archived),
    isSame: mayBeSame,
    idsOf: ({ configDigest }) => [configDigest],
    loadedIds: (images) => new Set(images.map(({ configDigest }) => configDigest)),
    difference: ({ id }, { configDigest }) => ({ what: 'ID', got: id, want: configDigest }),
  }
}

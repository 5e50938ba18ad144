// The JSON of an OCI image layout as far as it is read here, and its media types. Each
// object may hold more, which is kept where it is written again.
import * as v from 'valibot'

import type { Compression } from '../codec/detect.ts'
import { MEDIA_TYPE } from './descriptor.ts'

/** Names a blob. What else it says of it, whoever needs it looks at. */
export const Descriptor = v.looseObject({ digest: v.string() })

/** Of one image for one platform. */
export const Manifest = v.looseObject({ config: Descriptor, layers: v.array(Descriptor) })

/** Of several manifests. */
export const Index = v.looseObject({ manifests: v.array(Descriptor) })

/** `index.json`: which annotations, names among them, it gives to what. */
export const NamingIndex = v.object({
  manifests: v.nullish(
    v.array(
      v.object({
        digest: v.string(),
        annotations: v.nullish(v.record(v.string(), v.string()), {}),
      }),
    ),
    [],
  ),
})

/** What names a blob. */
export type Descriptor = v.InferOutput<typeof Descriptor>
/** See {@link Manifest}. */
export type Manifest = v.InferOutput<typeof Manifest>

/** What engines read of indexes and manifests. */
export const READ_KEYS = [
  'manifests',
  'config',
  'layers',
  'digest',
  'mediaType',
  'platform',
  'annotations',
]

/** @see https://github.com/opencontainers/image-spec/blob/v1.1.1/media-types.md */
export const OCI_TYPES = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
} as const

/** @see https://github.com/distribution/distribution/blob/v2.8.3/docs/spec/manifest-v2-2.md */
export const DOCKER_TYPES = {
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar',
} as const

/** @returns what JSON says of itself, or of a blob; what it should be, if it says nothing or no such thing */
export function mediaTypeOf(json: Readonly<Record<string, unknown>>, expected: string): string {
  const told = json['mediaType']
  return typeof told === 'string' && MEDIA_TYPE.test(told) ? told : expected
}

/** @returns the media type of a layer that no OCI manifest names */
export function dockerLayerType(compression: Compression | undefined): string {
  return compression === undefined ? DOCKER_TYPES.layer : `${DOCKER_TYPES.layer}.${compression}`
}

/**
 * The media types of compressed layers, and those of the same layers plain. No
 * others are touched: a layer may be no tar at all, as in an attestation.
 */
export const PLAIN_TYPES: ReadonlyMap<unknown, string> = new Map([
  [`${OCI_TYPES.layer}+gzip`, OCI_TYPES.layer],
  [`${OCI_TYPES.layer}+zstd`, OCI_TYPES.layer],
  [`${DOCKER_TYPES.layer}.gzip`, DOCKER_TYPES.layer],
  [`${DOCKER_TYPES.layer}.zstd`, DOCKER_TYPES.layer],
])

// Reads the output of `image inspect`, as far as it is needed here.
import * as v from 'valibot'

import { MEDIA_TYPE, type Descriptor } from '../image/descriptor.ts'
import { hexOf, parseDigest, toDigest } from '../image/digest.ts'
import { formatPlatform } from '../image/platform.ts'
import { formatSettings } from '../image/settings.ts'
import type { StoredImage } from '../image/source.ts'

/** The result of an inspection. */
export interface Inspection {
  readonly image: StoredImage
  /** Whether the name stands for an index with several platforms. */
  readonly isIndex: boolean
}

const Inspected = v.object({
  Id: v.string(),
  RepoTags: v.nullish(v.array(v.string()), []),
  Os: v.string(),
  Architecture: v.string(),
  Variant: v.optional(v.string()),
  Size: v.optional(v.number(), 0),
  Created: v.nullish(v.string()),
  Config: v.nullish(v.record(v.string(), v.unknown())),
  Descriptor: v.nullish(
    v.object({
      mediaType: v.string(),
      size: v.fallback(v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0))), undefined),
    }),
  ),
  RootFS: v.object({ Layers: v.nullish(v.array(v.string()), []) }),
})

/** @returns the one image in the JSON */
export function parseInspection(json: string): Inspection {
  const [found] = v.parse(v.tuple([Inspected]), JSON.parse(json))
  return toInspection(found)
}

/** @returns the images in the JSON, in its order */
export function parseInspections(json: string): Inspection[] {
  return v.parse(v.array(Inspected), JSON.parse(json)).map(toInspection)
}

function toInspection(found: v.InferOutput<typeof Inspected>): Inspection {
  const isIndex = /index|manifest\.list/.test(found.Descriptor?.mediaType ?? '')
  const image = readImage(found)
  if (isManifest(found)) return { image: { ...image, manifestDigest: image.id }, isIndex }
  const index = isIndex ? describe(found.Descriptor, image.id) : undefined
  return { image: { ...image, ...(index && { index }) }, isIndex }
}

function describe(
  told: v.InferOutput<typeof Inspected>['Descriptor'],
  id: string,
): Descriptor | undefined {
  const digest = parseDigest(id)
  if (digest === undefined || told?.size === undefined) return undefined
  if (!MEDIA_TYPE.test(told.mediaType)) return undefined
  return { mediaType: told.mediaType, digest, sizeBytes: told.size }
}

// Docker shows the descriptor since 28.0, if its store keeps manifests.
function isManifest({ Descriptor }: v.InferOutput<typeof Inspected>): boolean {
  return /\bmanifest\.v\d\+json$/.test(Descriptor?.mediaType ?? '')
}

function readImage(image: v.InferOutput<typeof Inspected>): StoredImage {
  return {
    id: toDigest(hexOf(image.Id)),
    repoTags: image.RepoTags,
    platform: formatPlatform({
      os: image.Os,
      architecture: image.Architecture,
      variant: image.Variant,
    }),
    sizeBytes: image.Size,
    diffIds: image.RootFS.Layers,
    ...(typeof image.Created === 'string' && { created: image.Created }),
    ...(image.Config && { settings: formatSettings(image.Config) }),
  }
}

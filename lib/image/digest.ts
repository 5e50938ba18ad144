// Digests, and where a blob of that digest lies in a tar: engines and the tools here
// name all content by its sha256.
import { createHash } from 'node:crypto'
import * as v from 'valibot'

/** `sha256:` and 64 digits in hex, lower case. */
export type Digest = `sha256:${string}`

const PREFIX = 'sha256:'
const DIGEST = /^sha256:[0-9a-f]{64}$/

/** Where the blobs of an OCI layout lie, each named by its digest. */
export const BLOBS = 'blobs/sha256/'

/** A digest in JSON. */
export const DigestSchema = v.custom<Digest>(isDigest, 'is not a sha256 digest')

/** @returns whether it is a whole digest */
export function isDigest(text: unknown): text is Digest {
  return typeof text === 'string' && DIGEST.test(text)
}

/** @returns the digest that a text is, or undefined if it is none */
export function parseDigest(text: string): Digest | undefined {
  return isDigest(text) ? text : undefined
}

/** @returns the digest of that sha256 in hex */
export function toDigest(sha256: string): Digest {
  return `${PREFIX}${sha256}`
}

/** @returns the digest of some bytes, or of a text in UTF-8 */
export function digestOf(content: Buffer | string): Digest {
  return toDigest(createHash('sha256').update(content).digest('hex'))
}

/** @returns the sha256 in hex */
export function hexOf(digest: string): string {
  return digest.replace(/^sha256:/, '')
}

/**
 * @param digest - out of JSON it may be any text
 * @returns where the blob of a digest lies, if it is there
 */
export function blobPath(digest: string): string {
  return BLOBS + hexOf(digest)
}

/**
 * @param key - of a member of a tar, as `memberKey` gives it
 * @returns the digest that the name of a blob promises; undefined if it is none
 */
export function digestAt(key: string): Digest | undefined {
  return key.startsWith(BLOBS) ? parseDigest(PREFIX + key.slice(BLOBS.length)) : undefined
}

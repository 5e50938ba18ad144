// What an image runs with, in one form for both places that tell it: the config in
// an archive and the inspection of an engine. Equal texts mean equal settings.
import * as v from 'valibot'

/**
 * The fields of a config that a containerd store tells of an image.
 *
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md#properties
 */
const FIELDS = [
  'ArgsEscaped',
  'Cmd',
  'Entrypoint',
  'Env',
  'ExposedPorts',
  'Healthcheck',
  'Labels',
  'OnBuild',
  'Shell',
  'StopSignal',
  'User',
  'Volumes',
  'WorkingDir',
] as const

const Fields = v.record(v.string(), v.unknown())

/**
 * @param config - the `config` of an image's config, or the `Config` of an inspection
 * @returns its settings; fields that are empty and fields that are absent count as the same
 */
export function formatSettings(config: unknown): string {
  const fields = v.is(Fields, config) ? Object.entries(config) : []
  // Engines read names without regard to case, as Go does.
  const values = new Map(fields.map(([name, value]) => [name.toLowerCase(), value]))
  return JSON.stringify(FIELDS.map((name) => normalize(name, values.get(name.toLowerCase()))))
}

// Engines write out what the config leaves out, and the other way round. An empty
// argument, an empty label and a port without more say something.
function normalize(name: string, value: unknown): unknown {
  if (isEmpty(value)) return null
  if (!v.is(Fields, value) || Array.isArray(value)) return value
  const isCheck = name === 'Healthcheck'
  const entries = Object.entries(value).filter(([, each]) => !isCheck || !isEmpty(each))
  return entries.length > 0 ? entries.toSorted(([one], [other]) => (one < other ? -1 : 1)) : null
}

function isEmpty(value: unknown): boolean {
  return !value || (Array.isArray(value) && value.length === 0)
}

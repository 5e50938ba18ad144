// Formats the settings that an image runs with. They come from the config in an archive, or
// from the inspection of an engine; equal texts mean equal settings.
import * as v from 'valibot'

/**
 * The fields of a config that the inspection of a containerd store shows.
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
 * @returns its settings as JSON; an empty field and an absent field give the same text
 */
export function formatSettings(config: unknown): string {
  const fields = v.is(Fields, config) ? Object.entries(config) : []
  // Engines are written in Go, which ignores the case of field names.
  const values = new Map(fields.map(([name, value]) => [name.toLowerCase(), value]))
  return JSON.stringify(FIELDS.map((name) => normalize(name, values.get(name.toLowerCase()))))
}

// An engine may write an empty field that the config lacks, or the other way round. An empty
// argument, the empty value of a label and that of a port have a meaning, and stay.
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

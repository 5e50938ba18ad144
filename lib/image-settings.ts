// What an image runs with, in one form for both places that tell it: the config in
// an archive and the inspection of an engine. Equal texts mean equal settings.
import * as v from 'valibot'

/**
 * The fields of a config that engines tell of an image.
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
  'StopTimeout',
  'User',
  'Volumes',
  'WorkingDir',
] as const

const Settings = v.record(v.string(), v.unknown())

/**
 * @param config - the `config` of an image's config, or the `Config` of an inspection
 * @returns its settings; fields that are empty and fields that are absent count as the same
 */
export function formatSettings(config: unknown): string {
  const settings = v.is(Settings, config) ? config : {}
  return JSON.stringify(FIELDS.map((field) => normalize(settings[field]) ?? null))
}

// Engines write out what the config leaves out, and the other way round. The order
// of a list counts, and so does what is empty in it.
function normalize(value: unknown): unknown {
  if (value === null || value === '' || value === 0 || value === false) return undefined
  if (Array.isArray(value)) return value.length > 0 ? value : undefined
  if (!v.is(Settings, value)) return value
  const entries = Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1))
  return entries.length > 0 ? entries : undefined
}

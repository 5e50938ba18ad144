// Parses the arguments of a program by its usage text. That text is the only description
// of the options: the parser accepts only what it names, so --help is always right.
import minimist from 'minimist'

import { ToolError } from '../core/errors.ts'

/** The options of a run, by their long names. */
export interface Arguments {
  /** The arguments that are not options. */
  readonly names: readonly string[]
  /** @returns whether a flag was given. For `--no-x`, ask for `x`: true unless `--no-x` was given. */
  flag(name: string): boolean
  /** @returns the value of an option; empty if the option has none, undefined if it was not given. */
  text(name: string): string | undefined
  /** @returns the values of a repeatable option, in the order of the arguments. */
  texts(name: string): readonly string[]
  /** @returns a sha256 in lower-case hex. @throws USAGE if the value is not a sha256 in hex */
  sha256(name: string): string | undefined
  /** @returns a whole number. @throws USAGE if the value is not a whole number from min to max */
  number(name: string, min: number, max: number): number | undefined
  /** @returns one of the choices. @throws USAGE if the value is none of them */
  choice<T extends string>(name: string, choices: readonly T[]): T | undefined
}

// "  -h, --help   text", "  --level N   text", "  --base DIR   text (repeatable)"
const OPTION = /^ +(?:-(?<short>\w), )?--(?<negated>no-)?(?<name>[a-z][a-z0-9-]*)(?<value> \S+)? /

/**
 * @param usage - the usage text, with lines such as `  --dir DIR   what it does`; a line that
 *   ends with `(repeatable)` is for an option that may be given several times
 * @param argv - the arguments, without program and script
 * @returns the options and the other arguments
 * @throws USAGE if the usage text does not name an option, if an option lacks its value, or
 *   if one that is not repeatable is given twice
 */
export function parseArguments(usage: string, argv: readonly string[]): Arguments {
  const options = readOptions(usage)
  checkOptions(options, argv)
  const named = (hasValue: boolean): string[] =>
    [...options].filter(([, option]) => option.hasValue === hasValue).map(([name]) => name)
  const alias = Object.fromEntries([...options].map(([name, { short }]) => [name, short ?? []]))
  const parsed = minimist([...argv], {
    string: ['_', ...named(true)],
    boolean: named(false),
    alias,
    default: Object.fromEntries(
      [...options].map(([name, { negated }]) => [name, negated || undefined]),
    ),
    unknown: (arg) => {
      if (/^-./.test(arg)) throw unknown(arg)
      return true
    },
  })
  const values = new Map(
    named(true).map((name) => [name, readValues(name, parsed[name], options.get(name), argv)]),
  )
  const valuesOf = (name: string, isRepeatable: boolean): readonly string[] => {
    if (options.get(name)?.isRepeatable === isRepeatable) return values.get(name) ?? []
    throw new Error(`the usage text has no such --${name}`)
  }
  const value = (name: string): string | undefined => valuesOf(name, false)[0]
  return {
    names: parsed._,
    flag: (name) => parsed[name] === true,
    text: value,
    texts: (name) => valuesOf(name, true),
    sha256: (name) => toSha256(name, value(name)),
    number: (name, min, max) => toNumber(name, value(name), min, max),
    choice: (name, choices) => toChoice(name, value(name), choices),
  }
}

function readValues(
  name: string,
  parsed: unknown,
  option: Option | undefined,
  argv: readonly string[],
): string[] {
  const given = [parsed].flat().filter((each) => typeof each === 'string')
  if (given.length > 1 && !option?.isRepeatable) throw usageError(`--${name} was given twice`)
  const isLeftOut = option?.isOptional && !isGivenEmpty(name, argv)
  if (given.includes('') && !isLeftOut) throw usageError(`--${name} needs a value`)
  return given
}

// minimist accepts more than the usage text names: --no-x for any x, and for a flag also
// --x=y and `--x true`. These are refused here.
function checkOptions(options: ReadonlyMap<string, Option>, argv: readonly string[]): void {
  for (const [index, arg] of argv.entries()) {
    if (arg === '--') return
    if (/^-\w=/.test(arg)) throw unknown(arg)
    const groups = GIVEN.exec(arg)?.groups
    if (!groups) continue
    const { negated, name = '', value } = groups
    const option = options.get(name)
    if (!option || option.negated !== (negated !== undefined)) throw unknown(arg)
    const isFollowed = !negated && /^(?:true|false)$/.test(argv[index + 1] ?? '')
    if (!option.hasValue && (value !== undefined || isFollowed))
      throw usageError(`--${negated ?? ''}${name} takes no value`)
  }
}

// An empty value comes from an unset variable, as in `--list "$UNSET"`. It is an error.
function isGivenEmpty(name: string, argv: readonly string[]): boolean {
  return argv.some((arg, index) => {
    return arg === `--${name}=` || (arg === `--${name}` && argv[index + 1] === '')
  })
}

const GIVEN = /^--(?<negated>no-)?(?<name>[^=]+)(?<value>=.*)?$/s

function unknown(arg: string): ToolError {
  return usageError(`unknown option "${arg}"`)
}

interface Option {
  readonly short: string | undefined
  readonly negated: boolean
  readonly hasValue: boolean
  /** Whether the value may be left out: `--list [FILE]`. */
  readonly isOptional: boolean
  /** Whether it may be given several times. */
  readonly isRepeatable: boolean
}

function readOptions(usage: string): Map<string, Option> {
  const options = new Map<string, Option>()
  for (const line of usage.split('\n')) {
    const groups = OPTION.exec(line)?.groups
    if (groups?.['name'] === undefined) continue
    const { short, negated, name, value } = groups
    options.set(name, {
      short,
      negated: negated !== undefined,
      hasValue: value !== undefined,
      isOptional: value?.startsWith(' [') ?? false,
      isRepeatable: line.endsWith('(repeatable)'),
    })
  }
  return options
}

function toSha256(name: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  if (/^[0-9a-f]{64}$/i.test(text)) return text.toLowerCase()
  throw usageError(`--${name}: got "${text}", want the 64 digits that sha256sum prints`)
}

function toNumber(
  name: string,
  text: string | undefined,
  min: number,
  max: number,
): number | undefined {
  if (text === undefined) return undefined
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (number >= min && number <= max) return number
  throw usageError(`--${name}: got "${text}", want a whole number from ${min} to ${max}`)
}

function toChoice<T extends string>(
  name: string,
  text: string | undefined,
  choices: readonly T[],
): T | undefined {
  if (text === undefined) return undefined
  const chosen = choices.find((choice) => choice === text)
  if (chosen === undefined) {
    throw usageError(`--${name}: got "${text}", want one of ${choices.join(', ')}`)
  }
  return chosen
}

function usageError(message: string): ToolError {
  return new ToolError('USAGE', message, { hint: 'see --help' })
}

// A program's usage text is the only description of its options: what it does
// not name is not accepted, and so --help cannot be wrong.
import minimist from 'minimist'

import { ToolError } from '../core/errors.ts'

/** The options of a run, by their long names. */
export interface Arguments {
  /** What is no option. */
  readonly names: readonly string[]
  /** @returns whether it was given; for `--no-x`, ask for `x`: true unless it was given. */
  flag(name: string): boolean
  /** @returns its value, empty where that was left out, or undefined if it was not given. */
  text(name: string): string | undefined
  /** @returns the values of one that is repeatable, in the order that they were given in. */
  texts(name: string): readonly string[]
  /** @throws USAGE where it is not a sha256 in hex. @returns it in lower case */
  sha256(name: string): string | undefined
  /** @throws USAGE where it is no whole number in the range. */
  number(name: string, min: number, max: number): number | undefined
  /** @throws USAGE where it is none of the choices. */
  choice<T extends string>(name: string, choices: readonly T[]): T | undefined
}

// "  -h, --help   text", "  --level N   text", "  --base DIR   text (repeatable)"
const OPTION = /^ +(?:-(?<short>\w), )?--(?<negated>no-)?(?<name>[a-z][a-z0-9-]*)(?<value> \S+)? /

/**
 * @param usage - lines such as `  --dir DIR   what it does`; `(repeatable)` at the end is part of them
 * @param argv - the arguments, without program and script
 * @throws USAGE for an option that the text does not name, twice one that may be
 *   given once, or without its value
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

// minimist takes more than the usage text names: --no-x for any x, --x=y and
// `--x true` for a flag.
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

// As of `--list "$UNSET"`: nobody means that.
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

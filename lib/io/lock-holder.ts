// The holder of a lock: a process on this host, in a container on it, or on another host
// that sees the same share. The holder is read from a file that anybody with access to
// the directory may have written, so this module validates it.
import { randomBytes } from 'node:crypto'
import { readFile, readlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import * as v from 'valibot'

const Text = (pattern: RegExp) => v.pipe(v.string(), v.regex(pattern))

const Holder = v.object({
  program: Text(/^[\w :./-]{1,80}$/),
  host: Text(/^[\w.-]{1,253}$/),
  /** ID of the current boot of the host; empty if there is no /proc. */
  boot: Text(/^[\w-]{0,64}$/),
  pidNamespace: Text(/^(?:pid:\[\d+\])?$/),
  pid: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  /** When the process started, in clock ticks since the boot; empty if unknown. */
  startTicks: Text(/^\d{0,20}$/),
  /** When the process took the lock. */
  started: v.pipe(v.string(), v.isoTimestamp()),
  nonce: Text(/^[0-9a-f]{32}$/),
})

/** The process that holds a lock; each time that it takes a lock, it gets a new `nonce`. */
export type LockHolder = v.InferOutput<typeof Holder>

/**
 * @param program - the name of this program; a run that finds the lock shows it
 * @returns this process, as the holder of a new lock
 */
export async function describeHolder(program: string): Promise<LockHolder> {
  const [boot, pidNamespace, stat] = await Promise.all([
    readBootId(),
    readPidNamespace(),
    readStat('self'),
  ])
  return {
    program,
    host: hostname().replaceAll(/[^\w.-]/g, '_') || 'unknown',
    boot,
    pidNamespace,
    pid: process.pid,
    startTicks: stat?.startTicks ?? '',
    started: new Date().toISOString(),
    nonce: randomBytes(16).toString('hex'),
  }
}

/** @returns the holder as the text of a lock file. */
export function formatHolder(holder: LockHolder): string {
  return `${JSON.stringify(holder, undefined, 2)}\n`
}

/** @returns the holder in the text of a lock file, or undefined if the text is not valid. */
export function parseHolder(text: string): LockHolder | undefined {
  try {
    const parsed = v.safeParse(Holder, JSON.parse(text))
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}

/** @returns whether the process runs; `unseen` if it is on another host or in another container. */
export async function stateOf(holder: LockHolder): Promise<'running' | 'ended' | 'unseen'> {
  if (!(await isSeenFromHere(holder))) return 'unseen'
  return (await hasEnded(holder)) ? 'ended' : 'running'
}

async function hasEnded(holder: LockHolder): Promise<boolean> {
  if (isGone(holder.pid)) return true
  // In a container, /proc may list the processes of the host: then the number means
  // another process there.
  const isOurProc = (await readlink('/proc/self').catch(() => '')) === `${process.pid}`
  const stat = isOurProc ? await readStat(`${holder.pid}`) : undefined
  if (!stat) return false
  return 'ZX'.includes(stat.state) || stat.startTicks !== holder.startTicks
}

/** @returns the holder for people: `save_compressed_tars, PID 4711, since 14:47`. */
export async function nameHolder(holder: LockHolder): Promise<string> {
  const { program, pid, host, boot } = holder
  const isHere = await isSeenFromHere(holder)
  const isThisBoot = boot !== '' && boot === (await readBootId())
  const elsewhere = isThisBoot ? ' in another container' : ` on host "${host}"`
  return `${program}, PID ${pid}${isHere ? '' : elsewhere}, since ${formatSince(holder.started)}`
}

/** @returns `HOST-BOOT-PID` of this process, for names of temporary files. */
export async function processLabel(): Promise<string> {
  const host = hostname().replace(/\..*$/s, '').replaceAll(/\W/g, '_').slice(0, 20) || 'unknown'
  const boot = (await readBootId()).replaceAll(/[^0-9a-f]/g, '').slice(0, 8)
  return `${host}-${boot.padEnd(8, '0')}-${process.pid}`
}

/** @returns whether a label names a process of the current boot of this host that has ended. */
export async function isLabelOfEnded(label: string): Promise<boolean> {
  const own = await processLabel()
  const ofHost = own.slice(0, own.lastIndexOf('-') + 1)
  const pid = Number(label.slice(ofHost.length))
  return label.startsWith(ofHost) && pid > 0 && isGone(pid)
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0) // signal 0 only checks that the process exists
    return false
  } catch (error) {
    // EPERM means that the process exists and belongs to another user.
    return error instanceof Error && 'code' in error && error.code === 'ESRCH'
  }
}

/** Matches a label that {@link processLabel} returns. */
export const PROCESS_LABEL = /\w{1,20}-[0-9a-f]{8}-\d{1,10}/

// A process ID means the same process only in the same boot and PID namespace.
async function isSeenFromHere({ boot, pidNamespace }: LockHolder): Promise<boolean> {
  if (boot === '' || pidNamespace === '') return false
  return boot === (await readBootId()) && pidNamespace === (await readPidNamespace())
}

async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim()
}

function readPidNamespace(): Promise<string> {
  return readlink('/proc/self/ns/pid').catch(() => '')
}

/** @see proc_pid_stat(5): the program name, in brackets, may hold blanks and brackets. */
async function readStat(pid: string): Promise<{ state: string; startTicks: string } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state, startTicks] = [fields?.[0], fields?.[19]]
  return state === undefined || startTicks === undefined ? undefined : { state, startTicks }
}

// In the local time of the reader; with the day if it is not today.
function formatSince(iso: string): string {
  const date = new Date(iso)
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} `
  const isToday = date.toDateString() === new Date().toDateString()
  return `${isToday ? '' : day}${two(date.getHours())}:${two(date.getMinutes())}`
}

function two(n: number): string {
  return `${n}`.padStart(2, '0')
}

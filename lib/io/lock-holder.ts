// Who holds the lock of a directory: a process of this host, of a container on
// it, or of another host that sees the same share. It is read from a file that
// anybody with access to the directory may have written, so it is validated.
import { randomBytes } from 'node:crypto'
import { readFile, readlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import * as v from 'valibot'

const Text = (pattern: RegExp) => v.pipe(v.string(), v.regex(pattern))

const Holder = v.object({
  program: Text(/^[\w :./-]{1,80}$/),
  host: Text(/^[\w.-]{1,253}$/),
  /** Of this start of the machine; empty where there is no /proc. */
  boot: Text(/^[\w-]{0,64}$/),
  pidNamespace: Text(/^(?:pid:\[\d+\])?$/),
  pid: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  /** When the process started, in ticks since the boot. */
  startTicks: Text(/^\d{0,20}$/),
  /** When it took the lock. */
  started: v.pipe(v.string(), v.isoTimestamp()),
  nonce: Text(/^[0-9a-f]{32}$/),
})

/** The process that holds a lock; `nonce` is another one each time that a lock is taken. */
export type LockHolder = v.InferOutput<typeof Holder>

/** @param program - what this process is, for people who are refused */
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

/** @returns the holder that a lock file tells of, or undefined if it is no such file. */
export function parseHolder(text: string): LockHolder | undefined {
  try {
    const parsed = v.safeParse(Holder, JSON.parse(text))
    return parsed.success ? parsed.output : undefined
  } catch {
    return undefined
  }
}

/** @returns whether that process runs; `unseen` if it is on another host or in another container. */
export async function stateOf(holder: LockHolder): Promise<'running' | 'ended' | 'unseen'> {
  if (!(await isSeenFromHere(holder))) return 'unseen'
  return (await hasEnded(holder)) ? 'ended' : 'running'
}

async function hasEnded(holder: LockHolder): Promise<boolean> {
  if (isGone(holder.pid)) return true
  // A container may show the processes of its host in /proc.
  const isOurProc = (await readlink('/proc/self').catch(() => '')) === `${process.pid}`
  const stat = isOurProc ? await readStat(`${holder.pid}`) : undefined
  if (!stat) return false
  return 'ZX'.includes(stat.state) || stat.startTicks !== holder.startTicks
}

/** @returns who that is and since when, for people: `save_compressed_tars, PID 4711, since 14:47`. */
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

/** @returns whether a label is that of a process of this start of this host that has ended. */
export async function isLabelOfEnded(label: string): Promise<boolean> {
  const own = await processLabel()
  const ofHost = own.slice(0, own.lastIndexOf('-') + 1)
  const pid = Number(label.slice(ofHost.length))
  return label.startsWith(ofHost) && pid > 0 && isGone(pid)
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0) // 0 only asks whether there is one
    return false
  } catch (error) {
    // EPERM: it is there, and another user's.
    return error instanceof Error && 'code' in error && error.code === 'ESRCH'
  }
}

/** What {@link processLabel} gives. */
export const PROCESS_LABEL = /\w{1,20}-[0-9a-f]{8}-\d{1,10}/

// Only there does a process ID mean the same process.
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

/** @see proc_pid_stat(5): the name, in brackets, may have blanks and brackets. */
async function readStat(pid: string): Promise<{ state: string; startTicks: string } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state, startTicks] = [fields?.[0], fields?.[19]]
  return state === undefined || startTicks === undefined ? undefined : { state, startTicks }
}

// In the time of whoever reads it; the day too where it is not today.
function formatSince(iso: string): string {
  const date = new Date(iso)
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} `
  const isToday = date.toDateString() === new Date().toDateString()
  return `${isToday ? '' : day}${two(date.getHours())}:${two(date.getMinutes())}`
}

function two(n: number): string {
  return `${n}`.padStart(2, '0')
}

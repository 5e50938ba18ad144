// Reads `docker info`: which store a daemon has, and which options it supports.
import * as v from 'valibot'

import { containerdStore } from './containerd-store.ts'
import { graphDriverStore } from './graph-driver-store.ts'
import type { ImageStore } from './image-store.ts'

/** What a run knows of an engine. */
export interface EngineInfo {
  readonly store: ImageStore
  /** Whether `save` takes `--platform` (API 1.48). */
  readonly savesPlatform: boolean
  /** Whether one name may mean several platforms, and `image inspect` takes `--platform` (API 1.49). */
  readonly inspectsPlatform: boolean
  /** `os/architecture` of the engine's host, if the engine shows it. */
  readonly platform?: string
  /** Where its daemon may listen on this machine, and how to recognise it; see `findSocket`. */
  readonly daemon?: { readonly socketPath: string; readonly id: string; readonly name: string }
}

const Info = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    ID: v.optional(v.string()),
    Name: v.optional(v.string()),
    ServerVersion: v.string(),
    OSType: v.optional(v.string(), ''),
    Architecture: v.optional(v.string(), ''),
    DriverStatus: v.nullish(v.unknown(), []),
    ClientInfo: v.optional(
      v.object({ Version: v.optional(v.string()), Context: v.optional(v.string()) }),
    ),
  }),
)

/**
 * @param text - the output of `docker info --format '{{json .}}'`
 * @param host - the value of DOCKER_HOST, if it is set
 * @returns what the output shows, or undefined if no daemon answered
 */
export function parseInfo(text: string, host?: string): EngineInfo | undefined {
  const parsed = v.safeParse(Info, text)
  // Some clients exit with success if the daemon is down: docker/cli#5900.
  if (!parsed.success || parsed.output.ServerVersion === '') return undefined
  const info = parsed.output
  const versions = [info.ServerVersion, info.ClientInfo?.Version ?? ''].map(Number.parseFloat)
  const hasBlobs = JSON.stringify(info.DriverStatus).includes('io.containerd.snapshotter')
  const daemon = findDaemon(info, host)
  return {
    ...(daemon && { daemon }),
    ...(info.OSType && { platform: `${info.OSType}/${toArchitecture(info.Architecture)}` }),
    store: hasBlobs ? containerdStore(true) : graphDriverStore(true),
    savesPlatform: versions.every((version) => version >= 28),
    inspectsPlatform: hasBlobs && versions.every((version) => version >= 28.1),
  }
}

// `docker info` has the kernel's name of the architecture; images have Go's name.
function toArchitecture(machine: string): string {
  if (machine === 'x86_64') return 'amd64'
  return machine === 'aarch64' ? 'arm64' : machine
}

const SCHEME = 'unix://'
const DEFAULT_SOCKET = '/var/run/docker.sock'

// Finds the socket that the client uses. Only the default context is handled.
function findDaemon(
  { ID: id, Name: name, ClientInfo }: v.InferOutput<typeof Info>,
  host = '',
): EngineInfo['daemon'] {
  const isLocal = host === '' || host.startsWith(SCHEME)
  if (!id || !name || ClientInfo?.Context !== 'default' || !isLocal) return undefined
  const socketPath = host.slice(SCHEME.length) || DEFAULT_SOCKET
  return socketPath.startsWith('/') ? { socketPath, id, name } : undefined
}

// What `docker info` says of a daemon, and what can be asked of it for that.
import * as v from 'valibot'

import { containerdStore } from './containerd-store.ts'
import { graphDriverStore } from './graph-driver-store.ts'
import type { ImageStore } from './image-store.ts'

/** What is known of an engine. */
export interface EngineInfo {
  readonly store: ImageStore
  /** Whether `save` takes `--platform` (API 1.48). */
  readonly savesPlatform: boolean
  /** Whether one name may mean several platforms, and `image inspect` takes `--platform` (API 1.49). */
  readonly inspectsPlatform: boolean
  /** `os/architecture` of what it runs, where it tells. */
  readonly platform?: string
  /** Where its daemon may be on this machine, and who that is; see `findSocket`. */
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
 * @param text - what `docker info --format '{{json .}}'` says
 * @param host - DOCKER_HOST, if it is set
 * @returns what that tells; undefined if no daemon answered
 */
export function parseInfo(text: string, host?: string): EngineInfo | undefined {
  const parsed = v.safeParse(Info, text)
  // Some clients call it a success that the daemon is down: docker/cli#5900.
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

// As the kernel calls it; images have Go's names.
function toArchitecture(machine: string): string {
  if (machine === 'x86_64') return 'amd64'
  return machine === 'aarch64' ? 'arm64' : machine
}

const SCHEME = 'unix://'
const DEFAULT_SOCKET = '/var/run/docker.sock'

// Where the client looks for it, if no other context is in use.
function findDaemon(
  { ID: id, Name: name, ClientInfo }: v.InferOutput<typeof Info>,
  host = '',
): EngineInfo['daemon'] {
  const isLocal = host === '' || host.startsWith(SCHEME)
  if (!id || !name || ClientInfo?.Context !== 'default' || !isLocal) return undefined
  const socketPath = host.slice(SCHEME.length) || DEFAULT_SOCKET
  return socketPath.startsWith('/') ? { socketPath, id, name } : undefined
}

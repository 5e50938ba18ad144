// Turns the stderr of an engine into one of our errors. The patterns match the texts of docker
// 20.10 to 29, podman and nerdctl.
import { endOf, withoutCredentials } from '../core/credentials.ts'
import { ToolError, type ErrorCode } from '../core/errors.ts'

interface Kind {
  readonly code: ErrorCode
  readonly pattern: RegExp
  readonly hint?: string
  /** Whether the text is from a registry, or from the network on the way to it. */
  readonly ofRegistry?: true
}

// The text may hold names from a tar, which may be chosen to make matching slow. So no pattern
// has an unbounded part, and only the end of a long text is searched.
const MAX_SAID = 64 * 1024
const KINDS: readonly Kind[] = [
  {
    code: 'NO_ENGINE',
    pattern: /command not found|ENOENT/,
    hint: 'install docker, podman or nerdctl, or name one with --engine',
  },
  {
    code: 'ENGINE_DENIED',
    pattern: /permission denied while trying to connect|dial unix .{0,300}permission denied/i,
    hint: 'run it with sudo, or add yourself to the group docker and log in again',
  },
  {
    code: 'ENGINE_DOWN',
    pattern:
      /cannot connect to the docker daemon|failed to connect to the docker api|is the docker daemon running|cannot access containerd socket/i,
    hint: 'start it: sudo systemctl start docker',
  },
  {
    code: 'NO_SPACE',
    pattern: /no space left on device/i,
    hint: "free some space where the engine keeps its images: docker system df, docker info -f '{{.DockerRootDir}}'",
  },
  {
    code: 'WRONG_PLATFORM',
    pattern:
      /no matching manifest for|does not match the specified platform|does not provide the specified platform/i,
    hint: 'the registry has no such image for that platform',
  },
  {
    code: 'NO_IMAGE',
    pattern:
      /no such image|manifest unknown|reference does not exist|image not known|manifest for .{0,600} not found|: not found/i,
    hint: 'check its name and tag',
  },
  {
    code: 'NOT_LOGGED_IN',
    ofRegistry: true,
    pattern:
      /unauthorized|authentication required|no basic auth|access denied|denied: |forbidden|authorization failed/i,
  },
  {
    code: 'REGISTRY_UNREACHABLE',
    ofRegistry: true,
    pattern:
      /(dial|read|write) tcp|broken pipe|timeout|timed out|deadline exceeded|connection (refused|reset)|no such host|name resolution|unexpected EOF|\bEOF\b|network is unreachable|no route to host|proxyconnect|tls: |x509|toomanyrequests|too many requests|received unexpected HTTP status: 5|50[0234] /i,
    hint: 'check network and proxy: the engine pulls, so a proxy is to be set for its daemon',
  },
]

/**
 * @param action - what failed, for example `pull "ubuntu:22.04"`
 * @param stderr - what the engine wrote
 * @param registry - the host of the registry, if the command uses one
 * @returns the error, without passwords and tokens; ENGINE_FAILED if no pattern matches
 */
export function engineError(action: string, stderr: string, registry?: string): ToolError {
  const text = endOf(stderr, MAX_SAID)
  const kind = KINDS.find(({ pattern, ofRegistry }) => {
    return pattern.test(text) && (!ofRegistry || registry !== undefined)
  })
  const said = withoutCredentials(text.trim().split('\n').slice(-3).join('; '))
  const hint = kind?.code === 'NOT_LOGGED_IN' ? loginHint(registry ?? '') : kind?.hint
  return new ToolError(kind?.code ?? 'ENGINE_FAILED', `${action}: ${said}`, {
    hint,
  })
}

/**
 * Finds the error in the output of a load that exits with success. A containerd store keeps an
 * image that it could not unpack, prints the error in one line among others, and reports
 * success: moby 28.5.2, daemon/containerd/image_exporter.go.
 *
 * @param action - as for {@link engineError}
 * @param said - what `docker load` printed
 * @returns the error, or undefined if no line begins with one
 */
export function unpackError(action: string, said: string): ToolError | undefined {
  const line = said.split('\n').find((each) => /^\s*error\b/i.test(each))
  if (line === undefined) return undefined
  const { code, message, hint } = engineError(action, line)
  if (code === 'NO_SPACE') return new ToolError(code, message, { hint })
  return new ToolError('ENGINE_FAILED', message, {
    hint: 'the engine has it under its name but cannot run it: remove it there, then load it again',
  })
}

function loginHint(registry: string): string {
  const host = registry === 'docker.io' ? '' : ` ${registry}`
  const user = registry === 'nvcr.io' ? ' (user $oauthtoken, password: your NGC API key)' : ''
  return `check its name, and log in: docker login${host}${user}`
}

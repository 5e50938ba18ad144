import t from 'tap'

import type { ErrorCode } from '../../../lib/core/errors.ts'
import { engineError, unpackError } from '../../../lib/engine/error.ts'

const DAEMON = 'Error response from daemon:'

// the code, what an engine said
const SAID: [ErrorCode, string][] = [
  [
    'REGISTRY_UNREACHABLE',
    `${DAEMON} Get "http://127.0.0.1:1/v2/": write tcp 127.0.0.1:2->127.0.0.1:1: write: broken pipe`,
  ],
  ['NO_ENGINE', 'bash: line 1: docker: command not found'],
  ['NO_ENGINE', 'spawn docker ENOENT'],
  [
    'ENGINE_DENIED',
    'permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get "http://x/v1.24/info": dial unix /var/run/docker.sock: connect: permission denied',
  ],
  [
    'ENGINE_DENIED',
    'Got permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock',
  ],
  [
    'ENGINE_DENIED',
    'permission denied while trying to connect to the docker API at unix:///var/run/docker.sock',
  ],
  [
    'ENGINE_DOWN',
    'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?',
  ],
  [
    'ENGINE_DOWN',
    'failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct and if the daemon is running: dial unix /var/run/docker.sock: connect: no such file or directory',
  ],
  [
    'ENGINE_DOWN',
    'time="2024-05-01T12:00:00Z" level=fatal msg="cannot access containerd socket \\"/run/containerd/containerd.sock\\": no such file or directory"',
  ],
  ['NO_SPACE', 'write /var/lib/docker/tmp/GetImageBlob1: no space left on device'],
  ['WRONG_PLATFORM', `${DAEMON} no matching manifest for linux/arm64 in the manifest list entries`],
  [
    'WRONG_PLATFORM',
    `${DAEMON} image with reference a:1 was found but does not match the specified platform: wanted linux/arm64, actual: linux/amd64`,
  ],
  [
    'WRONG_PLATFORM',
    `${DAEMON} image with reference a:1 was found but does not provide the specified platform (linux/arm64)`,
  ],
  ['NO_IMAGE', 'Error: No such image: a:1'],
  ['NO_IMAGE', `${DAEMON} No such image: a:1`],
  ['NO_IMAGE', 'Error response from daemon: reference does not exist'],
  ['NO_IMAGE', `${DAEMON} manifest for a:1 not found: manifest unknown: manifest unknown`],
  [
    'NO_IMAGE',
    `${DAEMON} failed to resolve reference "docker.io/library/a:1": docker.io/library/a:1: not found`,
  ],
  ['NO_IMAGE', 'Error: inspecting object: a:1: image not known'],
  [
    'NO_IMAGE',
    'Error: initializing source docker://a:1: reading manifest 1 in a: manifest unknown',
  ],
  [
    'NOT_LOGGED_IN',
    `${DAEMON} pull access denied for a, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`,
  ],
  ['NOT_LOGGED_IN', `${DAEMON} unauthorized: authentication required`],
  ['NOT_LOGGED_IN', `${DAEMON} Get "https://nvcr.io/v2/a/manifests/1": no basic auth credentials`],
  ['NOT_LOGGED_IN', `${DAEMON} error from registry: 403 Forbidden`],
  [
    'REGISTRY_UNREACHABLE',
    `${DAEMON} Get "https://nvcr.io/v2/": dial tcp: lookup nvcr.io: no such host`,
  ],
  [
    'REGISTRY_UNREACHABLE',
    `${DAEMON} Get "https://nvcr.io/v2/": dial tcp 127.0.0.1:443: connect: connection refused`,
  ],
  [
    'REGISTRY_UNREACHABLE',
    `${DAEMON} Get "https://nvcr.io/v2/": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)`,
  ],
  ['REGISTRY_UNREACHABLE', `${DAEMON} Get "https://nvcr.io/v2/": context deadline exceeded`],
  ['REGISTRY_UNREACHABLE', `${DAEMON} Get "https://nvcr.io/v2/": EOF`],
  ['REGISTRY_UNREACHABLE', 'unexpected EOF'],
  ['REGISTRY_UNREACHABLE', 'read tcp 10.0.0.1:5->10.0.0.2:443: read: connection reset by peer'],
  [
    'REGISTRY_UNREACHABLE',
    `${DAEMON} Get "https://nvcr.io/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
  ],
  [
    'REGISTRY_UNREACHABLE',
    'toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating and upgrading',
  ],
  ['REGISTRY_UNREACHABLE', `${DAEMON} received unexpected HTTP status: 503 Service Unavailable`],
  ['REGISTRY_UNREACHABLE', 'Error: reading blob: 502 (Bad Gateway)'],
  ['ENGINE_FAILED', `${DAEMON} invalid tar header`],
  ['ENGINE_FAILED', ''],
]

for (const [code, said] of SAID) {
  t.test(`engineError: ${code}: ${said.slice(0, 90)}`, async (t) => {
    const message = `pull "a:1": ${said}`
    t.match(engineError('pull "a:1"', said, 'docker.io'), { code, message })
    // Nothing that no registry was asked for is its fault.
    const isOfRegistry = ['NOT_LOGGED_IN', 'REGISTRY_UNREACHABLE'].includes(code)
    const other = isOfRegistry ? 'ENGINE_FAILED' : code
    t.match(engineError('pull "a:1"', said), { code: other, message })
  })
}

t.test('engineError: tells the last three lines of what was said', async (t) => {
  const said = 'first\nsecond\nthird\nfourth\n'
  t.equal(engineError('save', said).message, 'save: second; third; fourth')
})

t.test('engineError: tells no password, also of a text that begins in one', async (t) => {
  const url = 'http://user:s3cr3t@proxy:3128/?token=s3cr3t'
  for (const said of [`Get "${url}": EOF`, `one\nproxyconnect tcp: ${url}\ntwo`]) {
    const error = engineError('pull "a:1"', said, 'docker.io')
    t.equal(error.code, 'REGISTRY_UNREACHABLE')
    t.match(error.message, 'http://***@proxy:3128/?token=***')
  }
  const loaded = unpackError('load "a:1"', `Error unpacking image a:1: ${url}: not found`)
  t.match(loaded?.message, 'http://***@proxy:3128/?token=***: not found')
  const end = `s3cr3t@host: ${'x'.repeat(64 * 1024 - 13)}`
  const cut = engineError('pull "a:1"', `http://user:s3cr3t${end}`)
  t.match(cut.message, /^pull "a:1": … x+/)
})

// the registry, the hint
const LOGINS: [string, string][] = [
  ['docker.io', 'check its name, and log in: docker login'],
  ['registry.example:5000', 'check its name, and log in: docker login registry.example:5000'],
  [
    'nvcr.io',
    'check its name, and log in: docker login nvcr.io (user $oauthtoken, password: your NGC API key)',
  ],
]

for (const [registry, hint] of LOGINS) {
  t.test(`engineError: how to log in to ${registry}`, async (t) => {
    t.equal(engineError('pull', 'unauthorized', registry).hint, hint)
  })
}

t.test('engineError: a known failure has a hint, an unknown one has none', async (t) => {
  t.match(engineError('pull', 'no space left on device').hint, /free some space/)
  t.equal(engineError('pull', 'what?').hint, undefined)
})

// what a load printed, the code of the failure in it
const PRINTED: [string, string | undefined][] = [
  ['Loaded image: a:1', undefined],
  ['Loaded image: error/unpacking:1\nLoaded image ID: sha256:0f', undefined],
  ['', undefined],
  ['Loaded image: a:1\nError unpacking image a:1: write /x: no space left on device', 'NO_SPACE'],
  ['Error unpacking image a:1: content digest sha256:0f: not found', 'ENGINE_FAILED'],
  ['Error unpacking image a:1: wrong diff id\nLoaded image: b:1\n', 'ENGINE_FAILED'],
]

for (const [said, code] of PRINTED) {
  t.test(`unpackError: ${code}: ${said.slice(0, 60)}`, async (t) => {
    const error = unpackError('load "a:1"', said)
    if (code === undefined) t.equal(error, undefined)
    else t.match(error, { code, message: /^load "a:1": Error unpacking image a:1: /, hint: /./ })
  })
}

for (const part of ['manifest for ', 'dial unix ', '\n']) {
  t.test(`engineError: takes no time for much of ${JSON.stringify(part)}`, async (t) => {
    const start = performance.now()
    t.equal(engineError('load "a"', part.repeat(100_000)).code, 'ENGINE_FAILED')
    t.ok(performance.now() - start < 20_000, 'it ends')
  })
}

// What engines really say, with secrets where they may stand.
import t from 'tap'

import { endOf, withoutCredentials } from '../../../lib/core/credentials.ts'

const SECRET = 's3cr3tP4ss'
const DIGEST = `sha256:${'a1'.repeat(32)}`

// what is said; what is left of it
const CUT: [string, string][] = [
  [`Get "https://user:${SECRET}@host/v2/": EOF`, 'Get "https://***@host/v2/": EOF'],
  [`Get "https://${SECRET}@host/v2/": EOF`, 'Get "https://***@host/v2/": EOF'],
  [`Get "http://user:${SECRET}@[::1]:5000/": EOF`, 'Get "http://***@[::1]:5000/": EOF'],
  [`https://AWS:${SECRET.repeat(300)}@host`, 'https://***@host'],
  [`HTTPS://user:p%40${SECRET}%2f@host:3128`, 'HTTPS://***@host:3128'],
  [`http://user:p@${SECRET}@host`, 'http://***@host'],
  [`http://DOMAIN\\\\user:${SECRET}@proxy:3128`, 'http://***@proxy:3128'],
  [
    `proxyconnect tcp: dial tcp: lookup user:${SECRET}@proxy: no such host`,
    'proxyconnect tcp: dial tcp: lookup ***@proxy: no such host',
  ],
  [
    `parse "http://user:a/${SECRET}@proxy:3128": invalid port ":a" after host`,
    'parse "http://***@proxy:3128": invalid port ":a" after host',
  ],
  [`parse "http://user:#?${SECRET}@proxy": invalid`, 'parse "http://***@proxy": invalid'],
  [`HTTP_PROXY=http://user:${SECRET}@proxy:3128 is set`, 'HTTP_PROXY=http://***@proxy:3128 is set'],
  [`http_proxy=user:${SECRET}@proxy:3128`, 'http_proxy=***@proxy:3128'],
  [
    `Get "https://host/t?next=https%3A%2F%2Fuser%3A${SECRET}%40other%2Fx": EOF`,
    'Get "https://host/t?next=***": EOF',
  ],
  [
    `to https%3a%2f%2fuser%3a${SECRET}%40other%2fx failed`,
    'to https%3a%2f%2f***%40other%2fx failed',
  ],
  [`https://host/a?token=${SECRET}`, 'https://host/a?token=***'],
  [
    `https://host/a?scope=repository%3Aa%3Apull&service=host&access_token=${SECRET}#x`,
    'https://host/a?scope=repository%3Aa%3Apull&service=host&access_token=***#x',
  ],
  [
    `Get "https://s3/b?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${SECRET}%2F2026&X-Amz-Date=20261130T000000Z&X-Amz-Signature=${SECRET}": EOF`,
    'Get "https://s3/b?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=***&X-Amz-Date=20261130T000000Z&X-Amz-Signature=***": EOF',
  ],
  [`https://blob/x?sv=2026&se=2027&sig=${SECRET}%3D`, 'https://blob/x?sv=2026&se=2027&sig=***'],
  [`https://cdn/x?verify=17-${SECRET}`, 'https://cdn/x?verify=***'],
  [`https://cdn/x%3Fsig%3D${SECRET}%26sp%3Dr`, 'https://cdn/x%3Fsig%3D***%26sp%3Dr'],
  [`unpack https://cdn/x?sig=${SECRET}: not found`, 'unpack https://cdn/x?sig=***: not found'],
  [`https://host/cb#access_token=${SECRET}`, 'https://host/cb#access_token=***'],
  [`Authorization: Bearer ${SECRET}`, 'Authorization: Bearer ***'],
  [`Authorization:[Basic ${SECRET}=] Host:[x]`, 'Authorization:[Basic ***] Host:[x]'],
  [`with Bearer ${SECRET}.${SECRET}.${SECRET}==`, 'with Bearer ***'],
  [`{"token":"${SECRET}","expires_in":300}`, '{"token":"***","expires_in":300}'],
  [`msg="{\\"access_token\\": \\"${SECRET}\\"}"`, 'msg="{\\"access_token\\": \\"***\\"}"'],
  [`login with password=${SECRET}, refused`, 'login with password=***, refused'],
]

for (const [said, left] of CUT) {
  t.test(`withoutCredentials: ${left.slice(0, 80)}`, async (t) => {
    t.equal(withoutCredentials(said), left)
    t.equal(withoutCredentials(left), left, 'once is enough')
    t.notMatch(left, SECRET)
  })
}

const KEPT = [
  '',
  'Error response from daemon: manifest for nvcr.io/nvidia/pytorch:24.05-py3 not found',
  `docker.io/library/ubuntu:22.04@${DIGEST}: not found`,
  `Get "https://127.0.0.1:5000/v2/a/manifests/${DIGEST}": EOF`,
  `initializing source docker://alpine:3.20@${DIGEST}: reading`,
  `http://host:5000/v2/a@${DIGEST}`,
  'Get "https://auth.docker.io/token?scope=repository%3Aa%3Apull&service=registry.docker.io": EOF',
  'Bearer realm="https://nvcr.io/proxy_auth",scope="repository:a:pull"',
  'unauthorized: Basic authentication required; Bearer authentication, too',
  'failed to fetch oauth token: unexpected status: 403 Forbidden',
  'unable to retrieve auth token: invalid username/password: unauthorized',
  'read tcp 10.0.0.1:5->[fe80::1]:443: read: connection reset by peer',
  'dial unix /var/run/docker.sock: connect: permission denied',
  'lookup nvcr.io on 127.0.0.53:53: server misbehaving',
  'time="2024-05-01T12:00:00Z" level=fatal msg="cannot access /run/user@1000"',
  '[overlay@/var/lib/containers/storage+/run]docker.io/library/a:1',
  'nvcr.io/nvidia/pytorch:24.05-py3: Pulling from nvidia/pytorch',
  `Digest: ${DIGEST}`,
]

for (const said of KEPT) {
  t.test(`withoutCredentials: leaves ${said.slice(0, 80)}`, async (t) => {
    t.equal(withoutCredentials(said), said)
  })
}

const PARTS = ['a', ':', '@', '/', 'a:', 'a@', 'http://', 'http://a:b', '%3A%2F%2F', '?a=b', '?a', 'a-'] // prettier-ignore
const MORE = ['token', '"token":"', 'Bearer ', 'authorization: ', 'a.', ' ', '&', '%26', '\\']

for (const part of [...PARTS, ...MORE]) {
  t.test(`withoutCredentials: takes no time for much of ${JSON.stringify(part)}`, async (t) => {
    const start = performance.now()
    withoutCredentials(part.repeat(65_536 / part.length))
    t.ok(performance.now() - start < 5000, `${performance.now() - start} ms`)
  })
}

t.test('endOf: begins with a whole word', async (t) => {
  t.equal(endOf('one two', 7), 'one two')
  t.equal(endOf('http://user:secret@host: EOF', 15), '… EOF')
  t.equal(endOf('one two', 4), ' two')
  t.equal(endOf('x'.repeat(100), 10), '…')
  t.equal(endOf('x'.repeat(5000), 4096), 'x'.repeat(4096))
})

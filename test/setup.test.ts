// What test/setup.sh leaves on a machine that it installs packages on: no service
// that runs or is enabled, and nothing else changed. apt-get and systemctl are
// scripts here, /usr is a copy that ends with the run.
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'

import { ROOT } from '../scripts/build/root.ts'
import { sh, startFile, type RunResult } from './fixtures/run.ts'

// A file system of its own over /usr, in which a package is missing, and a
// policy of whoever set the machine up only where the test has put one.
const MACHINE = `
mount -t tmpfs tmpfs "$SCRATCH"
mkdir "$SCRATCH/upper" "$SCRATCH/work"
mount -t overlay -o "lowerdir=/usr,upperdir=$SCRATCH/upper,workdir=$SCRATCH/work" overlay /usr
rm -f /usr/bin/docker-registry "$POLICY"
eval "$BEFORE"
status=0
sh "$SETUP" || status=$?
ls -l --time-style=+ "$POLICY" >"$DIR/policy" 2>/dev/null && cat "$POLICY" >>"$DIR/policy" || :
exit "$status"
`

const POLICY = '/usr/sbin/policy-rc.d'

// What the packages do is what those of Debian do: they ask the policy.
const APT_GET = `
echo "$*" >>"$DIR/apt-get"
case "$*" in *install*) ;; *) exit 0 ;; esac
"$POLICY" docker-registry start; echo "policy: $?" >>"$DIR/apt-get"
printf '%s enabled enabled\\n' docker-registry.service docker.socket >>"$DIR/units--system"
echo 'podman.socket enabled enabled' >>"$DIR/units--global"
eval "$DURING"
cp /usr/bin/true /usr/bin/docker-registry
`

const SYSTEMCTL = `
echo "$*" >>"$DIR/systemctl"
scope=--system
case "$*" in *--global*) scope=--global ;; esac
case "$*" in *list-unit-files*) cat "$DIR/units$scope" ;; esac
`

interface Machine extends RunResult {
  /** Lines of what apt-get was called with, and what the policy said. */
  readonly installing: readonly string[]
  /** What systemctl was told, but for questions. */
  readonly told: readonly string[]
  /** The policy afterwards, as ls and cat show it; empty where there is none. */
  readonly policy: string
}

/** @param scripts - run before setup.sh, and while packages are installed */
async function setUp(
  t: Test,
  { before = '', during = '' }: { before?: string; during?: string },
): Promise<Machine> {
  const dir = t.testdir({
    'units--system': 'ssh.service enabled enabled\n',
    'units--global': 'gpg-agent.socket enabled enabled\n',
    systemctl: '',
    'apt-get': '',
  })
  const commands = join(dir, 'commands')
  await mkdir(commands)
  await mkdir(join(dir, 'scratch'))
  for (const [name, script] of Object.entries({ 'apt-get': APT_GET, systemctl: SYSTEMCTL })) {
    await writeFile(join(commands, name), `#!/bin/sh\n${script}`)
    await chmod(join(commands, name), 0o755)
  }
  const { done } = startFile('unshare', ['--mount', 'bash', '-euc', MACHINE], {
    env: {
      DIR: dir,
      SCRATCH: join(dir, 'scratch'),
      SETUP: join(ROOT, 'test/setup.sh'),
      POLICY,
      BEFORE: before,
      DURING: during,
      NODE_OPTIONS: undefined,
      PATH: `${commands}:${process.env['PATH']}`,
    },
  })
  const ended = await done
  const lines = async (name: string) =>
    (await readFile(join(dir, name), 'utf8').catch(() => '')).split('\n').filter(Boolean)
  return {
    ...ended,
    installing: await lines('apt-get'),
    told: (await lines('systemctl')).filter((line) => !line.includes('list-unit-files')),
    policy: (await lines('policy')).join('\n'),
  }
}

t.test('setup: nothing is started or stays enabled, and it says what it did', async (t) => {
  const { status, stderr, installing, told, policy } = await setUp(t, {})
  t.equal(status, 0, stderr)
  t.strictSame(installing, [
    '-qq update',
    '-qq -o DPkg::Lock::Timeout=120 install --no-install-recommends docker-registry',
    'policy: 101',
  ])
  const now = (await sh('[ -d /run/systemd/system ] && echo " --now" || :')).trimEnd()
  t.strictSame(told, [
    `disable${now} docker-registry.service docker.socket`,
    'disable --global podman.socket',
  ])
  t.equal(policy, '')
  t.equal(
    stderr,
    `setup: installing docker-registry
setup: installed docker-registry, and what they depend on
setup: disabled what came along, as the tests do not need it: docker-registry.service docker.socket
setup: to have it: sudo systemctl enable${now} docker-registry.service docker.socket
setup: disabled what came along, as the tests do not need it: podman.socket
setup: to have it: sudo systemctl enable --global podman.socket
`,
  )
})

t.test('setup: an installation that fails leaves no more', async (t) => {
  const { status, told, policy, installing } = await setUp(t, { during: 'exit 100' })
  t.equal(status, 100)
  t.equal(installing.at(-1), 'policy: 101')
  t.match(told.join('\n'), 'docker-registry.service docker.socket')
  t.equal(policy, '')
})

t.test('setup: an installation that is interrupted leaves no more', async (t) => {
  // As Ctrl-C does, to the shell and to what it has started.
  const { status, told, policy } = await setUp(t, {
    during: 'kill -INT "$PPID"; kill -INT $$; sleep 5',
  })
  t.equal(status, 130)
  t.match(told.join('\n'), 'docker-registry.service docker.socket')
  t.equal(policy, '')
})

t.test('setup: a policy that is there stays as it is', async (t) => {
  const before = `printf '#!/bin/sh\\nexit 104\\n' >"$POLICY"; chmod 700 "$POLICY"`
  const { status, installing, policy, told } = await setUp(t, { before })
  t.equal(status, 0)
  t.equal(installing.at(-1), 'policy: 104')
  t.match(policy, /^-rwx------ 1 root root 19  \/usr\/sbin\/policy-rc\.d\n#!\/bin\/sh\nexit 104$/)
  t.match(told.join('\n'), 'docker-registry.service docker.socket')

  const linked = await setUp(t, { before: 'ln -s /nowhere "$POLICY"' })
  t.equal(linked.status, 0)
  t.match(linked.policy, /^lrwxrwxrwx .* -> \/nowhere$/)
})

t.test('setup: the policy of a run that was killed goes', async (t) => {
  const before = `{ echo '#!/bin/sh'; grep -o '# Made by [^'"'"']*' "$SETUP"; } >"$POLICY"`
  const { status, installing, policy } = await setUp(t, { before })
  t.equal(status, 0)
  t.equal(installing.at(-1), 'policy: 101')
  t.equal(policy, '')
})

t.test('setup: nothing missing, nothing touched', async (t) => {
  const before = 'cp /usr/bin/true /usr/bin/docker-registry'
  const { status, stderr, installing, told } = await setUp(t, { before })
  t.strictSame([status, stderr, installing, told], [0, '', [], []])
})

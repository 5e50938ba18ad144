import t from 'tap'

import { NOT_FOUND, runCommand } from '../../../lib/io/run-command.ts'

t.test('ask: arguments arrive as they are', async (t) => {
  const args = ['a b', '$(x)', "'", '', '*', 'ü\n']
  const { exitCode, stdout } = await runCommand('printf', ['%s|', ...args])
  t.equal(exitCode, 0)
  t.equal(stdout, args.map((arg) => `${arg}|`).join(''))
})

t.test('ask: what a program says when it fails', async (t) => {
  t.match(await runCommand('sh', ['-c', 'echo out; echo err >&2; exit 3']), {
    exitCode: 3,
    stdout: 'out\n',
    stderr: 'err\n',
  })
})

t.test('ask: a program that is not there', async (t) => {
  t.equal((await runCommand('no-such-program', [])).exitCode, NOT_FOUND)
})

t.test('ask: a signal ends the program', async (t) => {
  const { exitCode } = await runCommand('sleep', ['60'], AbortSignal.timeout(100))
  t.equal(exitCode, null)
})

// what a job's or a remote command's environment adds
const OUTERMOST: Record<string, string>[] = [
  {},
  { SHLVL: '0' },
  { SSH_CLIENT: '127.0.0.1 1 22' },
  { BASH_ENV: '$HOME/.bashrc' },
]

for (const env of OUTERMOST) {
  t.test(`ask: nothing of ~/.bashrc is run: ${JSON.stringify(env)}`, async (t) => {
    const { HOME, SHLVL, SSH_CLIENT, BASH_ENV } = process.env
    t.teardown(() => setVariables({ HOME, SHLVL, SSH_CLIENT, BASH_ENV }))
    const home = t.testdir({ '.bashrc': 'echo noise' })
    setVariables({ HOME: home, SHLVL: undefined, SSH_CLIENT: undefined, ...env })
    t.equal((await runCommand('echo', ['answer'])).stdout, 'answer\n')
  })
}

function setVariables(variables: Record<string, string | undefined>): void {
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
}

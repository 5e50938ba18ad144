import t from 'tap'

import { formatSettings } from '../../../lib/image/settings.ts'

const CONFIG = {
  Env: ['PATH=/bin', 'A='],
  Cmd: ['cat', ''],
  WorkingDir: '/data',
  Labels: { one: '1', two: '' },
  ExposedPorts: { '80/tcp': {} },
  Healthcheck: { Test: ['CMD', 'true'], Interval: 1_000_000_000 },
}

function lowerCase(config: object): object {
  return Object.fromEntries(
    Object.entries(config).map(([name, value]) => [name.toLowerCase(), value]),
  )
}

// what is other, its config, whether the settings are the same
const CONFIGS: [string, unknown, boolean][] = [
  ['nothing', { ...CONFIG }, true],
  [
    'empty fields written out',
    { ...CONFIG, User: '', Volumes: null, OnBuild: [], ArgsEscaped: false },
    true,
  ],
  ['the order of the labels', { ...CONFIG, Labels: { two: '', one: '1' } }, true],
  ['a field that engines do not tell', { ...CONFIG, Hostname: 'builder', StopTimeout: 5 }, true],
  [
    'a zero in the health check',
    { ...CONFIG, Healthcheck: { ...CONFIG.Healthcheck, Retries: 0 } },
    true,
  ],
  ['the case of the names', lowerCase(CONFIG), true],
  ['a variable', { ...CONFIG, Env: ['PATH=/bin', 'A=1'] }, false],
  ['the order of the variables', { ...CONFIG, Env: CONFIG.Env.toReversed() }, false],
  ['an empty argument', { ...CONFIG, Cmd: ['cat'] }, false],
  ['an empty label', { ...CONFIG, Labels: { one: '1' } }, false],
  ['a port', { ...CONFIG, ExposedPorts: { '81/tcp': {} } }, false],
  ['the user', { ...CONFIG, User: 'nobody' }, false],
  ['the entrypoint', { ...CONFIG, Entrypoint: ['/x'] }, false],
  ['a time', { ...CONFIG, Healthcheck: { Test: ['CMD', 'true'], Interval: 2 } }, false],
  ['no config', undefined, false],
]

for (const [what, config, same] of CONFIGS) {
  t.test(`formatSettings: other in ${what}`, async (t) => {
    t.equal(formatSettings(config) === formatSettings(CONFIG), same)
  })
}

t.test('formatSettings: no config has the settings of an empty one', async (t) => {
  for (const none of [undefined, null, [], 'text']) {
    t.equal(formatSettings(none), formatSettings({}))
  }
})

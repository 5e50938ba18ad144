// Runs pkg in a process of its own, because pkg finds its cache by HOME. pkg changes to a
// directory with a random name, and Node writes the path of the program into the executable,
// so each build would differ. Here pkg cannot change the directory, and the path is the same
// everywhere.
import { argv } from 'node:process'
import pkg from '@yao-pkg/pkg/lib-es5/sea.js'

import { ARCHITECTURES } from './runtime.ts'

/** A path to the current directory that is the same for every build; the stack of a bug shows it. */
const HERE = '/proc/self/cwd'

// The command line of pkg does not take these settings. With `execArgvExtension: 'none'` an
// executable ignores NODE_OPTIONS: options for other programs must not change what it does,
// or keep it from starting.
const SEA = {
  disableExperimentalSEAWarning: true,
  useSnapshot: false,
  useCodeCache: false,
  execArgvExtension: 'none',
}

const [name = '', version = '', architecture = ''] = argv.slice(2)
const arch = ARCHITECTURES.find((each) => each === architecture)
if (!arch) throw new Error('usage: run-pkg.ts NAME VERSION ARCHITECTURE')
const target = { nodeRange: `node${version}`, platform: 'linux', arch, output: name } as const
process.chdir = () => {}
await pkg.default(`${HERE}/${name}.cjs`, { targets: [target], seaConfig: SEA })

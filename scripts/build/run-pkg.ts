// A process of its own for pkg, which takes its cache from HOME and leaves the
// directory for one with a random name. Node writes the path of the program into
// what it makes, and so would each build differ: pkg stays here, and the path
// is the same everywhere.
import pkg from '@yao-pkg/pkg/lib-es5/sea.js'
import { argv } from 'node:process'

import { ARCHITECTURES } from './runtime.ts'

/** A file of the current directory, wherever that is: it is seen in the stack of a bug. */
const HERE = '/proc/self/cwd'

// pkg's own entry takes none of these. A NODE_OPTIONS that was meant for others
// is not to change what an executable does, or to keep it from starting.
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

// A process of its own for pkg, which takes its cache from HOME and leaves the
// directory for one with a random name. Node writes the path of the program into
// what it makes, and so would each build differ: pkg stays here, and the path
// is the same everywhere.
import { exec } from '@yao-pkg/pkg'
import { argv } from 'node:process'

/** A file of the current directory, wherever that is: it is seen in the stack of a bug. */
const HERE = '/proc/self/cwd'

const [program = '', ...targets] = argv.slice(2)
process.chdir = () => {}
await exec({ input: `${HERE}/${program}.cjs`, output: program, targets, sea: true })

#!/bin/sh
':' //; d="$(dirname "$(readlink -f "$0")")/../node_modules"; [ -d "$d" ] || { echo "$0: run npm ci first" >&2; exit 1; }; PATH="$d/.bin:$PATH" exec node "$0" "$@"
// Tars that were saved already → archives in the carry directory.
import { main } from '../lib/cli.ts'

const USAGE = `usage: compress_tars [OPTION]... [FILE.tar]...

Compresses every *.tar of the carry directory (or those named) into
FILE.tar.xz, with its record. The tar stays, and comes out again as it is.

  --dir DIR          where the archives go (default: the current directory)
  --reuse DIR        more archives to take layers from
  --level N          compression level, 0 to 9 (default: 6)
  --threads N        processors to use (default: all)
  --force            do again what is up to date
  --dry-run          only say what would be done
  --json             print one JSON object for each tar
  -h, --help         print this
  --version          print the version

  compress_tars --dir /mnt/stick
  compress_tars pytorch.tar
`

void main({
  name: 'compress_tars',
  usage: USAGE,
  async *run(args, context) {
    const { compress } = await import('../lib/compress.ts')
    yield* compress({
      ...context,
      names: args.names,
      dir: args.text('dir') ?? '.',
      level: args.number('level', 0, 9) ?? 6,
      threads: args.number('threads', 1, 1024),
      reuse: args.text('reuse'),
      force: args.flag('force'),
      dryRun: args.flag('dry-run'),
    })
  },
})

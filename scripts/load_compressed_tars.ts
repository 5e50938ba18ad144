#!/bin/sh
':' //; d="$(dirname "$(readlink -f "$0")")/../node_modules"; [ -d "$d" ] || { echo "$0: run npm ci first" >&2; exit 1; }; PATH="$d/.bin:$PATH" exec node "$0" "$@"
// Loads the archives of a delivery into an engine; each is verified before the engine keeps it.
import { main } from '../lib/cli/main.ts'

const USAGE = `usage: load_compressed_tars [OPTION]... [IMAGE|ARCHIVE]...

Loads each archive into the container engine, unless its image is there. An
archive that does not match its metadata is never loaded. Loads the images of
images_list.txt; without that list, all archives of the delivery.

  --list FILE        the images, one a line (default: images_list.txt in DIR)
  --dir DIR          where the archives are (default: the current directory)
  --sums-sha256 HEX  the sha256 that SHA256SUMS in DIR must have
  --unlisted         accept files that SHA256SUMS does not list
  --base DIR         earlier archives, for layers increments lack (repeatable)
  --engine NAME      docker, podman or nerdctl (default: the first on PATH)
  --threads N        processors to use (default: all)
  --compressor NAME  pixz, xz, zstd or builtin (default: auto)
  --force            load images again that the engine has
  --dry-run          show the plan, change nothing
  --json             print one JSON object for each archive
  -h, --help         show this help
  --version          show the version

  load_compressed_tars --dir /mnt/stick
  load_compressed_tars nvcr.io/nvidia/pytorch:24.05-py3
`

void main({
  name: 'load_compressed_tars',
  usage: USAGE,
  async *run(args, context) {
    const { load } = await import('../lib/commands/load/load.ts')
    const { ENGINE_NAMES } = await import('../lib/engine/engine.ts')
    const { COMPRESSOR_NAMES } = await import('../lib/codec/programs.ts')
    const options = {
      names: args.names,
      list: args.text('list'),
      delivery: {
        dir: args.text('dir') ?? '.',
        bases: args.texts('base'),
        sumsSha256: args.sha256('sums-sha256'),
        unlisted: args.flag('unlisted'),
      },
      engine: args.choice('engine', ENGINE_NAMES),
      compressor: args.choice('compressor', COMPRESSOR_NAMES),
      force: args.flag('force'),
      dryRun: args.flag('dry-run'),
    }
    yield* load(options, context)
  },
})

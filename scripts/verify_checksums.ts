#!/bin/sh
':' //; d="$(dirname "$(readlink -f "$0")")/../node_modules"; [ -d "$d" ] || { echo "$0: run npm ci first" >&2; exit 1; }; PATH="$d/.bin:$PATH" exec node "$0" "$@"
// Verifies the archives of a delivery against the engine's images, or against their metadata.
import { main } from '../lib/cli/main.ts'

const USAGE = `usage: verify_checksums [OPTION]... [IMAGE|ARCHIVE]...

Reads each archive to its end and checks it against the engine's own image
where the engine has it, else against the archive's metadata. Checks the images
of images_list.txt; without that list, all archives of the delivery.

  --list [FILE]      the images, one a line; without FILE: show what DIR holds
  --dir DIR          where the archives are (default: the current directory)
  --sums-sha256 HEX  the sha256 that SHA256SUMS in DIR must have
  --unlisted         accept files that SHA256SUMS does not list
  --against WHAT     engine or record (default: engine if it has the image)
  --base DIR         earlier archives, for layers increments lack (repeatable)
  --quick            only check the sha256 of each archive
  --engine NAME      docker, podman or nerdctl (default: the first on PATH)
  --threads N        processors to use (default: all)
  --compressor NAME  pixz, xz, zstd or builtin (default: auto)
  --dry-run          show the plan, change nothing
  --json             print one JSON object for each archive
  -h, --help         show this help
  --version          show the version

  verify_checksums --dir /mnt/stick
  verify_checksums --against record nvcr.io_nvidia_pytorch-24.05-py3.tar.xz
`

void main({
  name: 'verify_checksums',
  usage: USAGE,
  async *run(args, context) {
    const delivery = {
      bases: args.texts('base'),
      dir: args.text('dir') ?? '.',
      sumsSha256: args.sha256('sums-sha256'),
      unlisted: args.flag('unlisted'),
    }
    if (args.text('list') === '') {
      const { inventory } = await import('../lib/commands/list.ts')
      yield* inventory(delivery, context)
      return
    }
    const { verify } = await import('../lib/commands/verify/verify.ts')
    const { ENGINE_NAMES } = await import('../lib/engine/engine.ts')
    const { COMPRESSOR_NAMES } = await import('../lib/codec/programs.ts')
    const options = {
      names: args.names,
      delivery,
      list: args.text('list'),
      engine: args.choice('engine', ENGINE_NAMES),
      against: args.choice('against', ['engine', 'record']),
      quick: args.flag('quick'),
      compressor: args.choice('compressor', COMPRESSOR_NAMES),
      dryRun: args.flag('dry-run'),
    }
    yield* verify(options, context)
  },
})

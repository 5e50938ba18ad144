#!/bin/sh
':' //; d="$(dirname "$(readlink -f "$0")")/../node_modules"; [ -d "$d" ] || { echo "$0: run npm ci first" >&2; exit 1; }; PATH="$d/.bin:$PATH" exec node "$0" "$@"
// Compresses tars that were saved before into archives of a delivery.
import { main } from '../lib/cli/main.ts'

const USAGE = `usage: compress_tars [OPTION]... [FILE.tar]...

Compresses every *.tar of the delivery (or those named) into
FILE.tar.xz or FILE.tar.zst, with its metadata. The tar stays, and comes out
again as it is.

  --dir DIR          where the archives go (default: the current directory)
  --reuse DIR        more archives to take layers from (repeatable)
  --format FORMAT    xz or zst (default: xz)
  --level N          0 to 9 for xz (default: 6), 1 to 19 for zst (default: 8)
  --long N           zst: look back over 2^N bytes, 10 to 31 (default: 27)
  --compressor NAME  pixz, xz, zstd or builtin (default: auto)
  --threads N        processors to use (default: all)
  --verify-layers    check compressed layers against the image's config
  --force            redo finished archives
  --forget NAME      remove an image or tar, only that (repeatable)
  --dry-run          show the plan, change nothing
  --json             print one JSON object for each tar
  -h, --help         show this help
  --version          show the version

  compress_tars --dir /mnt/stick
  compress_tars pytorch.tar
`

void main({
  name: 'compress_tars',
  usage: USAGE,
  async *run(args, context) {
    const images = args.texts('forget')
    const shared = {
      names: args.names,
      dir: args.text('dir') ?? '.',
      force: args.flag('force'),
      dryRun: args.flag('dry-run'),
    }
    if (images.length > 0) {
      const { forget } = await import('../lib/commands/forget.ts')
      yield* forget({ ...context, ...shared, program: 'compress_tars', images })
      return
    }
    const { compress } = await import('../lib/commands/compress.ts')
    const { readCompression } = await import('../lib/codec/options.ts')
    const options = {
      ...shared,
      compression: readCompression(args),
      layers: { reuse: args.texts('reuse'), verifyLayers: args.flag('verify-layers') },
    }
    yield* compress(options, context)
  },
})

#!/bin/sh
':' //; d="$(dirname "$(readlink -f "$0")")/../node_modules"; [ -d "$d" ] || { echo "$0: run npm ci first" >&2; exit 1; }; PATH="$d/.bin:$PATH" exec node "$0" "$@"
// Saves every image of the list from an engine into a delivery, as an archive each.
import { main } from '../lib/cli/main.ts'

const USAGE = `usage: save_compressed_tars [OPTION]... [IMAGE]...

Pulls every image of images_list.txt (or those named), saves and compresses
each into one archive, and writes its metadata and SHA256SUMS beside it.

  --list FILE        the images, one a line (default: images_list.txt)
  --dir DIR          where the archives go (default: the current directory)
  --format FORMAT    xz or zst (default: xz)
  --level N          0 to 9 for xz (default: 6), 1 to 19 for zst (default: 8)
  --long N           zst: look back over 2^N bytes, 10 to 31 (default: 27)
  --compressor NAME  pixz, xz, zstd or builtin (default: auto)
  --platform OS/ARCH the platform to pull, for instance linux/arm64
  --no-pull          save the images as they are on this machine
  --recompress       store compressed layers (containerd store) as plain tars
  --verify-layers    check compressed layers against the image's config
  --reuse DIR        more archives to take layers from (repeatable)
  --since DIR        exclude layers that archives in DIR carry (repeatable)
  --engine NAME      docker, podman or nerdctl (default: the first on PATH)
  --threads N        processors to use (default: all)
  --force            redo finished images
  --forget IMAGE     remove an image from the delivery, only that (repeatable)
  --dry-run          show the plan, change nothing
  --json             print one JSON object for each image
  -h, --help         show this help
  --version          show the version

  save_compressed_tars --dir /mnt/stick
  save_compressed_tars --platform linux/arm64 nvcr.io/nvidia/pytorch:24.05-py3
`

void main({
  name: 'save_compressed_tars',
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
      yield* forget({ ...context, ...shared, program: 'save_compressed_tars', images })
      return
    }
    const { save } = await import('../lib/commands/save/save.ts')
    const { readCompression } = await import('../lib/codec/options.ts')
    const { ENGINE_NAMES } = await import('../lib/engine/engine.ts')
    const options = {
      ...shared,
      list: args.text('list'),
      fetching: {
        engine: args.choice('engine', ENGINE_NAMES),
        platform: args.text('platform'),
        pull: args.flag('pull'),
        drawProgress: process.stderr.isTTY,
      },
      compression: readCompression(args),
      layers: {
        recompress: args.flag('recompress'),
        verifyLayers: args.flag('verify-layers'),
        reuse: args.texts('reuse'),
        since: args.texts('since'),
      },
    }
    yield* save(options, context)
  },
})

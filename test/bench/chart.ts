// A chart of points, as SVG: how long a save took, and how large its archive is.

/** One way to save. */
export interface ChartPoint {
  readonly name: string
  readonly seconds: number
  readonly megabytes: number
}

const WIDTH = 720
const HEIGHT = 420
const LEFT = 64
const RIGHT = 130
const TOP = 40
const BOTTOM = 56
const COLOURS = { xz: '#b4552d', zst: '#2d6bb4' }

/**
 * @param points - seconds go to the right, by their logarithm, megabytes up
 * @param imageMegabytes - size of the image, for the heading
 * @returns an SVG file
 */
export function drawChart(points: readonly ChartPoint[], imageMegabytes: number): string {
  const x = scaleSeconds(points)
  const y = scaleMegabytes(points)
  const parts = [
    text(
      WIDTH / 2,
      22,
      `An image of ${imageMegabytes} MB: time to save, size of the archive`,
      'middle',
    ),
    ...x.ticks.flatMap((tick) => [
      line(x.at(tick), TOP, x.at(tick), HEIGHT - BOTTOM),
      text(x.at(tick), HEIGHT - BOTTOM + 20, `${tick} s`, 'middle'),
    ]),
    ...y.ticks.flatMap((tick) => [
      line(LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick)),
      text(LEFT - 8, y.at(tick) + 4, `${tick} MB`, 'end'),
    ]),
    ...points.flatMap(({ name, seconds, megabytes }) => [
      dot(x.at(seconds), y.at(megabytes), name),
      text(x.at(seconds) + 8, y.at(megabytes) - 6, name, 'start'),
    ]),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, 'left is faster, low is smaller', 'middle'),
  ]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="#fff"/>
${parts.join('\n')}
</svg>
`
}

interface Scale {
  readonly ticks: readonly number[]
  readonly at: (value: number) => number
}

const SECONDS = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500]

function scaleSeconds(points: readonly ChartPoint[]): Scale {
  const seconds = points.map((point) => point.seconds)
  const least = SECONDS.findLast((tick) => tick <= Math.min(...seconds)) ?? 0.5
  const most = SECONDS.find((tick) => tick >= Math.max(...seconds)) ?? 1000
  const ticks = SECONDS.filter((tick) => tick >= least && tick <= most)
  const span = Math.log(most / least)
  const width = WIDTH - LEFT - RIGHT
  return { ticks, at: (value) => LEFT + (width * Math.log(value / least)) / span }
}

function scaleMegabytes(points: readonly ChartPoint[]): Scale {
  const megabytes = points.map((point) => point.megabytes)
  const step = 10
  const least = Math.floor(Math.min(...megabytes) / step) * step
  const most = Math.max(least + step, Math.ceil(Math.max(...megabytes) / step) * step)
  const ticks = Array.from({ length: (most - least) / step + 1 }, (_, n) => least + n * step)
  const height = HEIGHT - TOP - BOTTOM
  return { ticks, at: (value) => HEIGHT - BOTTOM - (height * (value - least)) / (most - least) }
}

function text(x: number, y: number, content: string, anchor: string): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${content}</text>`
}

function line(x1: number, y1: number, x2: number, y2: number): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map(round)
  return `<line x1="${a}" y1="${b}" x2="${c}" y2="${d}" stroke="#ddd"/>`
}

function dot(x: number, y: number, name: string): string {
  const colour = name.startsWith('xz') ? COLOURS.xz : COLOURS.zst
  return `<circle cx="${round(x)}" cy="${round(y)}" r="4" fill="${colour}"/>`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

import t from 'tap'

// threads, free GiB, how many fit with 1 GiB for each
const CASES: [number | undefined, number, number][] = [
  [undefined, 1000, 6],
  [2, 1000, 2],
  [8, 16, 4],
  [8, 2, 1],
  [1, 0, 1],
]

for (const [threads, free, want] of CASES) {
  t.test(`fitThreads: ${threads ?? 'all 6'} threads, ${free} GiB free`, async (t) => {
    const { fitThreads } = await t.mockImport<typeof import('../../lib/thread-memory.ts')>(
      '../../lib/thread-memory.ts',
      { 'node:os': { availableParallelism: () => 6 } },
    )
    t.intercept(process, 'availableMemory', { value: () => free * 2 ** 30 })
    t.equal(fitThreads(threads, 2 ** 30), want)
  })
}

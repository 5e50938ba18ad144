// Compressors look far back: their windows and tables are many MiB, of which each
// page of 4 KiB costs a fault and a place in the processor's tables. With pages of
// 2 MiB zstd takes about half of the processor time, and decompressing .xz three
// quarters. By default Linux gives them to those alone that ask, as glibc does for
// a program that is told to; before 2.35 it knows of no such setting and does nothing.
const ASK = 'glibc.malloc.hugetlb=1'

/**
 * @param env - where it has such a setting, that one holds: the last does
 * @returns the environment for a program, in which glibc asks for huge pages
 * @see https://sourceware.org/glibc/manual/2.41/html_node/Memory-Allocation-Tunables.html
 */
export function withHugePages(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const { GLIBC_TUNABLES: own } = env
  return { ...env, GLIBC_TUNABLES: own ? `${ASK}:${own}` : ASK }
}

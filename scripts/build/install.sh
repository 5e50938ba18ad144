#!/bin/sh
# Installs the npm packages of the lock file, if they are missing or older than it: all that
# a build needs, without apt and without root. Prints nothing if there is nothing to do.
set -eu
cd "$(dirname "$0")/../.."

say() { echo "setup: $*" >&2; }

# The third test finds packages that were installed without the tools for a build.
if [ -e node_modules/.package-lock.json ] &&
  [ ! node_modules/.package-lock.json -ot package-lock.json ] &&
  [ -e node_modules/@yao-pkg/pkg ]; then
  exit 0
fi
if ! command -v npm >/dev/null 2>&1; then
  say 'npm is missing; it comes with Node.js: sudo apt-get install npm'
  exit 1
fi
say 'installing the npm packages of package-lock.json'
# The two includes bring tap and Node even if NODE_ENV=production is set.
# Packages in npm's cache need no network. By default npm would try for more than a minute
# before it says that there is no network.
# No scripts of packages run: that of node-liblzma would compile code that is not used here.
if ! npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --include=dev --include=optional \
  --prefer-offline --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=4000 >/dev/null; then
  say 'npm ci failed; it needs the npm registry, or a cache that has all packages'
  exit 1
fi

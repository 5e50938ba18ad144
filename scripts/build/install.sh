#!/bin/sh
# Brings the npm packages of the lock file where they are missing or older than
# it: all that a build needs, without apt and without root. Says nothing when
# nothing is to be done.
set -eu
cd "$(dirname "$0")/../.."

say() { echo "setup: $*" >&2; }

# The last was made without the tools for building.
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
# Without the two includes NODE_ENV=production would leave out tap and Node.
# What npm has in its cache needs no network; left alone, npm would try for more
# than a minute before it says that there is none.
# No package's script runs: node-liblzma would compile what is not used here.
if ! npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --include=dev --include=optional \
  --prefer-offline --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=4000 >/dev/null; then
  say 'npm ci failed; it needs the npm registry, or a cache that has all packages'
  exit 1
fi

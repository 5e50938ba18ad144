#!/bin/sh
# Brings what `npm start` and `npm test` need on a fresh Debian or Ubuntu: the
# npm packages of the lock file, and from apt only what is absent. Says nothing
# when nothing is to be done.
set -eu
cd "$(dirname "$0")/.."
# The daemons live where the PATH of an ordinary login does not look.
PATH=$PATH:/usr/sbin:/sbin

say() { echo "setup: $*" >&2; }

add() {
  case " $packages " in *" $1 "*) ;; *) packages="$packages${packages:+ }$1" ;; esac
}

need() {
  command -v "$1" >/dev/null 2>&1 || add "$2"
}

# Sets $packages to the Debian packages of all that is missing.
look() {
  packages=
  need dockerd docker.io
  # Newer releases keep the client in a package of its own.
  if ! command -v docker >/dev/null 2>&1; then
    add docker.io
    if apt-cache show docker-cli >/dev/null 2>&1; then add docker-cli; fi
  fi
  need docker-registry docker-registry
  need podman podman
  need pixz pixz
  need xz xz-utils
  need zstd zstd
  need bzip2 bzip2
  need tar tar
  need md5sum coreutils
  need sha256sum coreutils
  need mount mount
  need unshare util-linux
  need chattr e2fsprogs
  need hostname hostname
  need pivot_root util-linux
  # A newer Docker, and the far side with its arm64 twin, have roots of their own.
  need debootstrap debootstrap
  need qemu-aarch64-static qemu-user-static
  [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || add debian-archive-keyring
  # The sample images run it with no library beside it; the package `busybox`
  # puts a dynamic one at the same path.
  if [ ! -x /bin/busybox ] || ldd /bin/busybox 2>/dev/null | grep -q '=>'; then
    add busybox-static
  fi
}

sh scripts/build/install.sh

look
if [ "$(id -u)" != 0 ]; then
  if [ -n "$packages" ]; then
    say "missing; install with: sudo apt-get install --no-install-recommends $packages"
  fi
  say "a private engine is started, which takes root; run it as root: sudo npm ${npm_lifecycle_event:-test}"
  exit 1
fi
[ -n "$packages" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  say "no apt-get here; install what these Debian packages hold: $packages"
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# One broken third-party source fails the update, but not what is needed here.
apt-get -qq update >&2 || say 'apt-get update failed; trying with the lists there are'
look # the package lists are known only now
say "installing $packages"
# shellcheck disable=SC2086 # a list of words
apt-get -qq -o DPkg::Lock::Timeout=120 install --no-install-recommends $packages >/dev/null
look
if [ -n "$packages" ]; then
  say "still missing after the installation: $packages"
  exit 1
fi

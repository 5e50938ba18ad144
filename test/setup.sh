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
  need strace strace
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

# Packages enable and start their services: docker-registry listens on every
# interface, docker.io runs dockerd. The tests start daemons of their own, so no
# service is started here (policy-rc.d), and none stays enabled that came along.
POLICY=/usr/sbin/policy-rc.d
MARK='# Made by test/setup.sh of dgx-offline-images while it installs packages.'

# Sets $forbidden to whether a policy was put in place: one that is there stays as it is.
forbid_starts() {
  forbidden=no
  if [ -e "$POLICY" ] || [ -L "$POLICY" ]; then
    # Of a run that was killed.
    grep -qxF "$MARK" "$POLICY" 2>/dev/null || return 0
  fi
  forbidden=yes
  printf '#!/bin/sh\n%s\nexit 101\n' "$MARK" >"$POLICY"
  chmod 755 "$POLICY"
}

# The names of unit files that are enabled, of the system (--system) or of each
# user's login (--global).
enabled_units() {
  systemctl "$1" list-unit-files --state=enabled --no-legend --no-pager 2>/dev/null |
    awk '{ print $1 }' | LC_ALL=C sort
}

# Without systemctl before the installation nothing here is started by systemd.
list_units() {
  units=$(mktemp -d)
  if command -v systemctl >/dev/null 2>&1; then
    for scope in --system --global; do enabled_units "$scope" >"$units/before$scope"; done
  fi
}

disable_new() {
  for scope in --system --global; do
    [ -e "$units/before$scope" ] || continue
    enabled_units "$scope" >"$units/after$scope"
    new=$(LC_ALL=C comm -13 "$units/before$scope" "$units/after$scope" | tr '\n' ' ')
    new=${new% }
    [ -n "$new" ] || continue
    options=
    [ "$scope" = --system ] || options=' --global'
    [ -n "$options" ] || [ ! -d /run/systemd/system ] || options=' --now'
    # shellcheck disable=SC2086 # lists of words
    if systemctl disable $options $new >/dev/null 2>&1; then
      say "disabled what came along, as the tests do not need it: $new"
      say "to have it: sudo systemctl enable$options $new"
    else
      say "cannot disable what came along; do it: sudo systemctl disable$options $new"
    fi
  done
}

finish() {
  status=$?
  trap - EXIT
  trap '' HUP INT TERM
  [ "$forbidden" = no ] || rm -f "$POLICY"
  disable_new
  rm -rf "$units"
  exit "$status"
}

# One run at a time: another would take the policy away from this one.
exec 9</usr/sbin
flock 9
list_units
trap finish EXIT
# apt ends by the same Ctrl-C; a signal to this shell alone waits for its end.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
forbidden=no
forbid_starts
# One broken third-party source fails the update, but not what is needed here.
apt-get -qq update >&2 || say 'apt-get update failed; trying with the lists there are'
look # the package lists are known only now
say "installing $packages"
# shellcheck disable=SC2086 # a list of words
apt-get -qq -o DPkg::Lock::Timeout=120 install --no-install-recommends $packages >/dev/null
say "installed $packages, and what they depend on"
look
if [ -n "$packages" ]; then
  say "still missing after the installation: $packages"
  exit 1
fi

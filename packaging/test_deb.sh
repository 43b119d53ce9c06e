#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: packaging/test_deb.sh PACKAGE.deb SUITE   as root: installs the package in a clean Debian (bookworm, trixie)
# made by debootstrap, has it serve, removes and purges it. MIRROR and ROOT (a root that is there already) may be given.
set -eu

package=$(readlink -f "$1")
suite=$2
mirror=${MIRROR:-$(apt-cache policy | sed -n 's|.* \(http[^ ]*/debian\) .*main.*|\1|p' | head -1)}
root=$(mktemp -d)
node=
finish() {
    [ -z "$node" ] || kill "$node" 2>/dev/null || true
    if mountpoint -q "$root/proc"; then umount "$root/proc"; fi
    rm -rf "$root"
}
trap finish EXIT
trap 'exit 130' INT TERM
in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
fail() {
    echo "FAILED on $suite: $1" >&2
    exit 1
}

if [ -n "${ROOT:-}" ]; then
    cp -a "$ROOT/." "$root/"
else
    debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$root.log" 2>&1 || {
        tail -20 "$root.log" >&2
        exit 1
    }
fi
[ -e "$root/proc/self" ] || mount -t proc proc "$root/proc"

# Installed, with what it depends on.
cp "$package" "$root/tmp/muster.deb"
in_root apt-get update -qq
in_root apt-get install -y -qq --no-install-recommends /tmp/muster.deb >"$root/tmp/log" 2>&1 || {
    tail -20 "$root/tmp/log" >&2
    fail "it cannot be installed"
}
in_root muster --version | grep -q '^muster [0-9]' || fail "muster --version"
in_root test -f /usr/lib/systemd/system/muster-node@.service -o -f /lib/systemd/system/muster-node@.service || fail "no unit"
[ "$(in_root stat -c '%a %U' /etc/muster/muster.conf)" = "600 root" ] || fail "anybody can read muster.conf"

# It serves with the packaged configuration, on ports of this test, and ends in order.
# Not through in_root: what is started in the background must be the program itself, to be signalled.
chroot "$root" env -i PATH=/usr/bin:/bin sh -c \
    'set -a; . /etc/muster/muster.conf; MUSTER_HTTP=127.0.0.1:18780 MUSTER_ADMIN=127.0.0.1:18781; exec muster node' \
    >"$root/tmp/node" 2>&1 </dev/null &
node=$!
tries=0
until bash -c 'exec 3<>/dev/tcp/127.0.0.1/18781; printf "GET /readyz HTTP/1.0\r\n\r\n" >&3; grep -q "^HTTP/1.1 200" <&3' 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || { cat "$root/tmp/node"; fail "it does not serve"; }
    sleep 0.1
done
kill -TERM "$node"
wait "$node" || fail "it ended with $?"
node=

# Removed, its configuration stays; purged, nothing of it stays.
echo MUSTER_LOG_LEVEL=debug >"$root/etc/muster/node-main.conf"
in_root apt-get remove -y -qq muster >/dev/null 2>&1
[ -f "$root/etc/muster/muster.conf" ] || fail "removing took the configuration"
in_root apt-get purge -y -qq muster >/dev/null 2>&1
in_root apt-get autoremove --purge -y -qq >/dev/null 2>&1
left=$(find "$root/etc" "$root/usr" "$root/var/lib" -xdev -ipath '*muster*' ! -path '*/var/lib/dpkg/*' ! -path '*/var/lib/apt/*')
[ -z "$left" ] || fail "purging left: $left"
echo "$suite: installed, served, removed, purged"

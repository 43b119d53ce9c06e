#!/bin/sh
# SPDX-License-Identifier: MIT
# Serves, and says where to look: which store, which addresses, what is off. All listeners are on loopback unless told
# otherwise. Flags go to `muster node`; they win over MUSTER_* variables, and both over what is chosen here.
set -eu

export MUSTER_HTTP="${MUSTER_HTTP-127.0.0.1:8080}" MUSTER_RELAY="${MUSTER_RELAY-127.0.0.1:1337}"
export MUSTER_TRACKER="${MUSTER_TRACKER-127.0.0.1:3000}" MUSTER_DISPATCH_BIND="${MUSTER_DISPATCH_BIND-127.0.0.1}"

flags() { # flag, value so far, the words of the command line: what counts in the end
    flag=$1 value=$2 next=
    shift 2
    for word in "$@"; do
        [ -z "$next" ] || value=$word
        next=
        case $word in
        "$flag") next=1 ;;
        "$flag="*) value=${word#*=} ;;
        esac
    done
    printf '%s' "$value"
}

line() { # name, address or nothing, what stands before it
    if [ -n "$2" ]; then
        printf '  %-11s %s%s\n' "$1" "$3" "$2"
    else
        printf '  %-11s off\n' "$1"
    fi
}

http=$(flags --http "$MUSTER_HTTP" "$@")
admin=$(flags --admin "${MUSTER_ADMIN-}" "$@")
store=$(flags --store "${MUSTER_STORE-memory:}" "$@")
ports=$(flags --dispatch-ports "${MUSTER_DISPATCH_PORTS-6000-6999}" "$@")
bind=$(flags --dispatch-bind "$MUSTER_DISPATCH_BIND" "$@")
login=$(flags --chat-login "${MUSTER_CHAT_LOGIN-jwt}" "$@")
case $store in
memory:) store="embedded, of this process alone; gone when it ends" ;;
*) store=$(printf '%s' "$store" | sed 's|//[^@/]*@|//...@|g') ;; # no passwords on screens
esac

echo "Muster. Ctrl-C ends it."
line store "$store" ''
line status "${admin:-$http}/" http://
line metrics "${admin:-$http}/metrics" http://
line sync "$http/connect" ws://
line "chat" "$http/chat (login: $login)" ws://
line logs "$http/logs.html" http://
line relay "$(flags --relay "$MUSTER_RELAY" "$@")" tcp://
line tracker "$(flags --tracker "$MUSTER_TRACKER" "$@")" 'udp '
line devices "${ports:+$ports on $bind, once a driver asks for one}" 'ports '
exec build/muster node "$@"

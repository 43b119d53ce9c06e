#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: certificates.sh FOLDER   makes there what tests of TLS need, as NAME.pem and NAME.key:
#
#   ca, other-ca     two authorities
#   server           by ca, for localhost, 127.0.0.1 and redis.test
#   wrong-name       by ca, for elsewhere.test
#   expired          by ca, like server, but of the past
#   client           by ca, for clients
#   stranger         by other-ca, for clients
set -eu
cd "$1"

key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null
}

authority() {
    key "$1"
    openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 2 -out "$1.pem" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign 2>/dev/null
}

# certificate NAME AUTHORITY DATES USAGE [ALTERNATIVE NAMES]
certificate() {
    key "$1"
    printf 'extendedKeyUsage=%s\n' "$4" >"$1.ext"
    [ -z "${5:-}" ] || printf 'subjectAltName=%s\n' "$5" >>"$1.ext"
    # $3 may be two words
    # shellcheck disable=SC2086
    openssl req -new -key "$1.key" -subj "/CN=$1" 2>/dev/null |
        openssl x509 -req -CA "$2.pem" -CAkey "$2.key" -CAcreateserial $3 \
            -extfile "$1.ext" -out "$1.pem" 2>/dev/null
    rm "$1.ext"
}

# From 3.4 on openssl can be told the dates, and refuses days that end before they begin.
past="-days -1"
if openssl x509 -help 2>&1 | grep -q not_before; then
    past="-not_before 20200101000000Z -not_after 20200102000000Z"
fi
names=DNS:localhost,DNS:redis.test,IP:127.0.0.1
authority ca
authority other-ca
certificate server ca "-days 2" serverAuth,clientAuth "$names"
certificate wrong-name ca "-days 2" serverAuth,clientAuth DNS:elsewhere.test
certificate expired ca "$past" serverAuth,clientAuth "$names"
certificate client ca "-days 2" clientAuth
certificate stranger other-ca "-days 2" clientAuth

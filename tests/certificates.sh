#!/bin/sh
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

# certificate NAME AUTHORITY DAYS USAGE [ALTERNATIVE NAMES]
certificate() {
    key "$1"
    printf 'extendedKeyUsage=%s\n' "$4" >"$1.ext"
    [ -z "${5:-}" ] || printf 'subjectAltName=%s\n' "$5" >>"$1.ext"
    openssl req -new -key "$1.key" -subj "/CN=$1" 2>/dev/null |
        openssl x509 -req -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days "$3" \
            -extfile "$1.ext" -out "$1.pem" 2>/dev/null
    rm "$1.ext"
}

names=DNS:localhost,DNS:redis.test,IP:127.0.0.1
authority ca
authority other-ca
certificate server ca 2 serverAuth,clientAuth "$names"
certificate wrong-name ca 2 serverAuth,clientAuth DNS:elsewhere.test
certificate expired ca -1 serverAuth,clientAuth "$names"
certificate client ca 2 clientAuth
certificate stranger other-ca 2 clientAuth

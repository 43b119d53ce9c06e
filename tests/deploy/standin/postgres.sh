#!/bin/bash
# SPDX-License-Identifier: MIT
# What the image postgres does at its start, as far as compose.yaml needs it.
set -euo pipefail
bin=$(dirname /usr/lib/postgresql/*/bin/postgres)
data=/var/lib/postgresql/made
run() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }
install -d -o postgres -g postgres "$data" /run/postgresql
if [ ! -e "$data/PG_VERSION" ]; then
    (umask 077 && echo "$POSTGRES_PASSWORD" >/run/password && chown postgres /run/password)
    run "$bin/initdb" -D "$data" -U "$POSTGRES_USER" -E UTF8 --locale C.UTF-8 --auth scram-sha-256 --pwfile=/run/password >/dev/null
    rm /run/password
    echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
    run "$bin/postgres" --single -D "$data" postgres <<<"create database \"$POSTGRES_USER\"" >/dev/null
fi
exec setpriv --reuid postgres --regid postgres --init-groups \
    "$bin/postgres" -D "$data" -c listen_addresses='*'

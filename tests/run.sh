#!/bin/sh
# Serves on the embedded memory store and says where to look. Flags go to `muster node`.
set -eu

http=${MUSTER_HTTP:-127.0.0.1:8080}
previous=
for word in "$@"; do
    [ "$previous" = --http ] && http=$word
    case $word in --http=*) http=${word#--http=} ;; esac
    previous=$word
done
cat <<TEXT
Muster on the memory store. Ctrl-C ends it.
  status      http://$http/
  metrics     http://$http/metrics
  sync        ws://$http/connect
  logs        http://$http/logs.html
  relay       tcp://0.0.0.0:1337 unless --relay says otherwise
  tracker     udp port 3000
TEXT
exec build/muster node --http "$http" "$@"

#!/bin/bash
# SPDX-License-Identifier: MIT
# Redis, three nodes and HAProxy on loopback, until Ctrl-C. BASE_PORT (8080) is the balancer's; the nodes take
# the three ports above it, Redis the one above those. Flags go to each `muster node`; the chat believes any token
# unless they say otherwise.
set -euo pipefail

base=${BASE_PORT:-8080}
redis=$((base + 4))
dir=$(mktemp -d)
pids=()

for port in $(seq "$base" "$redis"); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        echo "port $port is taken; set BASE_PORT to the first of five free ones" >&2
        exit 1
    fi
done

# Nodes first, so that they take their leave; then what they stand on. A second signal must not leave any of them
# behind: it hurries them all.
stop() {
    trap - EXIT
    trap 'kill -TERM "${pids[@]}" 2>/dev/null || true' INT TERM
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill -TERM "${pids[i]}" 2>/dev/null || true
        wait "${pids[i]}" 2>/dev/null || true
    done
    wait || true
    rm -rf "$dir"
    echo "all stopped"
}
trap stop EXIT
trap 'exit 0' INT TERM

# Started in groups of their own: Ctrl-C reaches this script, which stops them in order.
start() {
    setsid "$@" &
    pids+=($!)
}

ready() { # URL
    for _ in $(seq 100); do
        curl -fs -o /dev/null "$1" && return
        sleep 0.1
    done
    echo "$1 does not answer" >&2
    exit 1
}

start redis-server --port "$redis" --bind 127.0.0.1 --save '' --dir "$dir" --logfile "$dir/redis.log"
until redis-cli -p "$redis" ping >/dev/null 2>&1; do
    kill -0 "${pids[0]}" || { cat "$dir/redis.log" >&2; exit 1; }
    sleep 0.1
done

{
    echo "defaults
    mode http
    timeout connect 2s
    timeout client 75s
    timeout server 75s
    timeout tunnel 1h
frontend muster
    bind 127.0.0.1:$base
    default_backend nodes
backend nodes
    balance roundrobin
    option httpchk GET /readyz"
    for i in 1 2 3; do
        echo "    server node$i 127.0.0.1:$((base + i)) check inter 500ms"
    done
} >"$dir/haproxy.cfg"
start haproxy -q -f "$dir/haproxy.cfg"

for i in 1 2 3; do
    start build/muster node --http "127.0.0.1:$((base + i))" --store "redis://127.0.0.1:$redis" \
        --relay "127.0.0.1:$((1336 + i))" --tracker "127.0.0.1:$((2999 + i))" \
        --dispatch-bind "127.0.0.$i" --chat-login development "$@"
done
for i in 1 2 3; do
    ready "http://127.0.0.1:$((base + i))/readyz"
done
ready "http://127.0.0.1:$base/readyz"

cat <<TEXT

Three nodes behind one address. Ctrl-C stops all.
  all         http://127.0.0.1:$base/    ws://127.0.0.1:$base/connect
  node 1-3    http://127.0.0.1:$((base + 1))/  http://127.0.0.1:$((base + 2))/  http://127.0.0.1:$((base + 3))/
  devices     6000-6999 on 127.0.0.1, 127.0.0.2, 127.0.0.3, once a driver asks for one
  relay       tcp://127.0.0.1:1337  tcp://127.0.0.1:1338  tcp://127.0.0.1:1339
  trackers    udp 127.0.0.1:3000, :3001 and :3002
  chat        ws://127.0.0.1:$base/chat    any token is believed, unless a flag says otherwise
  logs        http://127.0.0.1:$base/logs.html
  redis       redis-cli -p $redis
  terminal    build/muster status --http 127.0.0.1:$base    build/muster tail --http 127.0.0.1:$base
TEXT
wait

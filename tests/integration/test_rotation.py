# SPDX-License-Identifier: MIT
"""Secrets in files that others rotate are read again by themselves, for the next connection."""

import json
import subprocess

from lib.node import Sink
from lib.ports import free_port
from lib.relay import Plugin, handshake
from lib.tcp import RawSocket
from lib.waiting import wait_until


def redis_cli(redis, password, *words):
    subprocess.run(["redis-cli", "-p", str(redis.port), "-a", password, "--no-auth-warning", *words],
                   check=True, stdout=subprocess.DEVNULL)


def test_the_password_of_redis(yard, redis, tmp_path):
    secret = tmp_path / "store"
    redis.command("CONFIG", "SET", "requirepass", "old")
    secret.write_text(f"redis://:old@127.0.0.1:{redis.port}\n")
    node = yard.node(env={"MUSTER_STORE_FILE": str(secret)})

    redis_cli(redis, "old", "CONFIG", "SET", "requirepass", "new")
    secret.write_text(f"redis://:new@127.0.0.1:{redis.port}\n")
    wait_until(lambda: "new links log in with it" in node.log(), "it has read the file again")
    for kind in ("pubsub", "normal"):
        redis_cli(redis, "new", "CLIENT", "KILL", "TYPE", kind)
    wait_until(lambda: node.log().count("store link up") == 2, "the next link logs in with the new one")
    node.ready()


def test_another_redis_needs_a_restart(yard, redis, tmp_path):
    secret = tmp_path / "store"
    secret.write_text(redis.url)
    node = yard.node(env={"MUSTER_STORE_FILE": str(secret)})
    secret.write_text("redis://127.0.0.1:1")
    wait_until(lambda: "needs a restart name=store" in node.log() and "other servers" in node.log(), "it says so")
    assert node.is_ready()


def test_the_uri_of_postgres(yard, redis, tmp_path):
    postgres = yard.postgres()
    secret = tmp_path / "postgres"
    secret.write_text(postgres.uri_at(1))
    sink = yard.keep(Sink("sink", yard.folder, store=redis.url, env={"MUSTER_POSTGRES_FILE": str(secret)})).start()
    wait_until(lambda: "refused" in sink.log(), "nobody is there")
    secret.write_text(postgres.uri)
    sink.ready()


async def test_the_secret_of_the_relay(yard, tmp_path):
    secret = tmp_path / "relay"
    secret.write_text("old")
    port = free_port()
    node = yard.node(relay=f"127.0.0.1:{port}", env={"MUSTER_RELAY_SECRET_FILE": str(secret)})
    (await Plugin.connect(port, "one", secret="old")).close()
    secret.write_text("a longer one")
    wait_until(lambda: "setting changed name=relay-secret" in node.log(), "it has read the file again")
    with RawSocket(port) as stranger:
        stranger.send_while_taken(json.dumps(handshake("x", secret="old")).encode())
        assert stranger.at_end()
    (await Plugin.connect(port, "two", secret="a longer one")).close()

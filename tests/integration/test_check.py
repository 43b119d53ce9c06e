# SPDX-License-Identifier: MIT
"""`muster check` says what is wrong before it is served: each thing that a node or sink would stumble over is an error,
with what to do."""

import json

import pytest

from lib.ports import free_port
from lib.process import muster
from lib.waiting import wait_until

PRODUCTION = {"MUSTER_DISPATCH_PORTS": "6000-6999"}


def findings(*flags, code, env=None):
    """(result, about, text) of each, as --json tells them; `code` is how it has to end."""
    done = muster("check", "--json", *flags, env=env, deadline=60)
    assert done.returncode == code, done
    told = json.loads(done.stdout)
    assert told["well"] == (code == 0)
    return [(one["result"], one["about"], one["text"]) for one in told["findings"]]


def found(all_, result, *words):
    assert any(one[0] == result and all(word in " ".join(one[1:]) for word in words) for one in all_), all_


@pytest.mark.parametrize("flags, words, env", [
    (["--env", "production"], ["dispatch-secret"], PRODUCTION),
    (["--dispatch-ports", "7000-6000"], ["dispatch-ports", "7000-6000"], None),
    (["--dispatch-bind", "nowhere", "--dispatch-ports", "6000"], ["dispatch-bind", "nowhere"], None),
    (["--relay-color", "zzz"], ["relay-color", "zzz"], None),
    (["--relay", "127.0.0.1:1337,127.0.0.1:1337"], ["relay", "twice"], None),
    (["--http", "127.0.0.1:8080", "--admin", "127.0.0.1:8080"], ["--admin", "--http"], None),
    (["--from", "http://x", "--postgres", "postgresql://127.0.0.1:1/x"], ["from", "http://x"], None),
    (["--from", "wss://x/logs/listen", "--from-ca", "/nowhere/ca.pem", "--postgres", "postgresql://127.0.0.1:1/x"], ["from-ca", "/nowhere/ca.pem"], None),
    (["--chat-jwt-key", "/nowhere/key.pem"], ["chat-jwt-key", "/nowhere/key.pem"], None),
    (["--trusted-proxies", "x"], ["trusted-proxies"], None),
])
def test_settings_that_no_node_or_sink_starts_with(flags, words, env):
    done = muster("check", "--json", *flags, env=env, deadline=60)
    assert done.returncode == 2, done
    for word in words:
        assert word in done.stdout + done.stderr, done


def test_keys_that_cannot_be_fetched():
    found(findings("--chat-jwks", f"http://127.0.0.1:{free_port()}/jwks", code=1), "error", "chat-jwks", "status 0")


def test_a_redis_that_is_well_says_what_it_is(yard):
    redis = yard.redis("--appendonly", "yes")
    all_ = findings("--store", redis.url, code=0)
    for words in (["redis 0", "Redis"], ["redis 0", "noeviction"], ["redis 0", "append-only"], ["redis 0", "0 replicas"], ["redis 0", "clock", "ms"]):
        found(all_, "ok", *words)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_redis_that_drops_keys(yard, policy):
    redis = yard.redis("--maxmemory-policy", policy)
    found(findings("--store", redis.url, code=1), "error", "maxmemory-policy", policy, "noeviction")


def test_a_redis_cluster_that_is_named_as_a_server(yard):
    redis = yard.redis("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    redis.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    wait_until(lambda: b"cluster_state:ok" in redis.command("CLUSTER", "INFO"), "it has all slots")
    found(findings("--store", redis.url, code=1), "error", "Cluster")


def test_a_redis_that_keeps_nothing_is_a_warning(redis):
    found(findings("--store", redis.url, code=0), "warn", "appendonly yes")


def test_a_master_that_takes_writes_alone(yard, redis):
    replica = yard.redis("--replicaof", "127.0.0.1", str(redis.port))
    wait_until(lambda: b"connected_slaves:1" in redis.command("INFO", "replication"), "it replicates")
    found(findings("--store", redis.url, code=0), "warn", "1 replicas", "min-replicas-to-write 1")
    redis.command("CONFIG", "SET", "min-replicas-to-write", "1")
    found(findings("--store", redis.url, code=0), "ok", "1 replicas", "is set")
    found(findings("--store", replica.url, code=1), "error", "replica")


def test_a_postgres_that_is_well_says_what_it_is(postgres):
    all_ = findings("--postgres", postgres.uri, code=0)
    for words in (["postgres", "PostgreSQL 1"], ["rights of a sink"], ["schema is up to date"], ["postgres", "clock", "ms"]):
        found(all_, "ok", *words)


def test_a_role_without_rights(postgres):
    postgres.psql("create role reader login; grant select on all tables in schema public to reader")
    uri = postgres.uri.replace("postgres@", "reader@")
    found(findings("--postgres", uri, code=1), "error", "insert on log_entry", "muster_writer")


def test_a_synchronous_standby_that_is_missing(postgres):
    postgres.psql("alter system set synchronous_standby_names = 'nobody'")
    postgres.psql("select pg_reload_conf()")
    wait_until(lambda: postgres.value("show synchronous_standby_names") == "nobody", "it is set")
    found(findings("--postgres", postgres.uri, code=1), "error", "synchronous standby", "nobody")


def test_a_database_without_the_schema(yard):
    server = yard.postgres(migrated=False)
    found(findings("--postgres", server.uri, code=1), "error", "postgres", "run muster migrate")

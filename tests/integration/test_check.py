# SPDX-License-Identifier: MIT
"""`muster check` says what is wrong before it is served: each thing that a node or sink would stumble over is an error,
with what to do."""

import json

import pytest

from lib.ports import free_port
from lib.process import muster
from lib.redis import with_clock
from lib.waiting import wait_until


def findings(*flags, code, env=None):
    """(result, about, text) of each, as --json tells them; `code` is how it has to end."""
    done = muster("check", "--json", *flags, env=env, deadline=60)
    assert done.returncode == code, done
    told = json.loads(done.stdout)
    assert told["well"] == (code == 0)
    return [(one["result"], one["about"], one["text"]) for one in told["findings"]]


def found(all_, result, *words):
    assert any(one[0] == result and all(word in " ".join(one[1:]) for word in words) for one in all_), all_


REDIS, SOURCE = "redis://127.0.0.1:1", "wss://127.0.0.1:1/logs/listen"
DATABASE = ["--postgres", "postgresql://127.0.0.1:1/x"]
FREE = f"127.0.0.1:{free_port()}"  # what another program has is told as well
WRONG = [  # verb, flags, the setting that is to blame, a word of why
    ("node", ["--env", "production", "--dispatch-ports", "6000-6999"], "--dispatch-secret", "development secret"),
    ("node", ["--dispatch-ports", "6000", "--dispatch-secret", ""], "--dispatch-secret", "empty"),
    ("node", ["--dispatch-ports", "7000-6000"], "--dispatch-ports", "7000-6000"),
    ("node", ["--dispatch-ports", "6000", "--dispatch-bind", "nowhere"], "--dispatch-bind", "nowhere"),
    ("node", ["--dispatch-ports", "6000", "--dispatch-proxy", "x"], "--dispatch-proxy", "x"),
    ("node", ["--dispatch-ports", "6000", "--dispatch-proxy", "on"], "--dispatch-proxy", "--trusted-proxies"),
    ("node", ["--relay-color", "zzz"], "--relay-color", "zzz"),
    ("node", ["--relay", f"{FREE},{FREE}"], "--relay", "twice"),
    ("node", ["--relay-proxy", "on"], "--relay-proxy", "--trusted-proxies"),
    ("node", ["--relay-upstream", "x"], "--relay-upstream", "x"),
    ("node", ["--tracker", f"x={FREE}"], "--tracker", "x=127.0.0.1"),
    ("node", ["--tracker-forward", "x"], "--tracker-forward", "x"),
    ("node", ["--http", FREE, "--admin", FREE], "--admin", "--http"),
    ("node", ["--trusted-proxies", "x"], "--trusted-proxies", "x"),
    ("node", ["--logs-syslog", "x"], "--logs-syslog", "x"),
    ("node", ["--chat-login", "development", "--env", "production"], "--chat-login", "production"),
    ("node", ["--chat-jwt-key", "/nowhere/key.pem"], "--chat-jwt-key", "/nowhere/key.pem: No such file"),
    ("node", ["--chat-jwks", "/nowhere/set.json"], "--chat-jwks", "/nowhere/set.json: No such file"),
    ("node", ["--chat-account-url", "accounts"], "--chat-account-url", "accounts"),
    ("node", ["--chat-login-url", "ftp://accounts"], "--chat-login-url", "ftp://accounts"),
    ("node", ["--workers", "2"], "--workers", "memory:"),
    ("node", ["--store", "mysql://x"], "--store", "redis://"),
    ("node", ["--store-prefix", ""], "--store-prefix", "empty"),
    ("node", ["--store-prefix", "{x}"], "--store-prefix", "braces"),
    ("node", ["--store-replicas", "1"], "--store-replicas", "memory:"),
    ("node", ["--store", REDIS, "--store-ca", "/nowhere/ca.pem"], "--store-ca", "rediss://"),
    ("node", ["--store", "rediss://127.0.0.1:1", "--store-ca", "/nowhere/ca.pem"], "--store-ca", "/nowhere/ca.pem: No such file"),
    ("node", ["--store", "rediss://127.0.0.1:1", "--store-cert", "/nowhere/c.pem"], "--store-cert", "/nowhere/c.pem: No such file"),
    ("node", ["--store", "rediss://127.0.0.1:1", "--store-key", "/nowhere/c.key"], "--store-key", "needs its certificate"),
    ("sink", ["--from", "http://x", *DATABASE], "--from", "http://x"),
    ("sink", ["--from", SOURCE, "--from-ca", "/nowhere/ca.pem", *DATABASE], "--from-ca", "/nowhere/ca.pem"),
    ("sink", ["--from", SOURCE], "--postgres", "is not set"),
    ("sink", ["--from", SOURCE, "--mirror", SOURCE, *DATABASE], "--mirror", "--from"),
    ("sink", ["--store", REDIS, "--mirror", "http://x", *DATABASE], "--mirror", "http://x"),
    ("sink", ["--mirror", SOURCE, *DATABASE], "--store", "memory:"),
    ("sink", ["--store", REDIS, "--mirror", SOURCE, "--postgres", "postgresql://u:%zz@x/"], "--postgres", "percent-encoded"),
    ("migrate", ["--postgres", "postgresql://u:p@x/?nonsense=1"], "--postgres", "query parameter"),
]


@pytest.mark.parametrize("verb, flags, where, why", WRONG, ids=lambda value: value if isinstance(value, str) else None)
def test_settings_that_nothing_starts_with(verb, flags, where, why):
    """The verb itself and `check` refuse them alike: exit code 2, the setting as it was typed, and why."""
    started = muster(verb, *flags)
    assert started.returncode == 2, started
    assert any(line.startswith(f"muster: {where}: ") and why in line for line in started.stderr.splitlines()), started
    checked = muster("check", *flags, deadline=60)
    assert checked.returncode == 2, checked
    said = [line for line in (checked.stdout + checked.stderr).splitlines() if where in line]
    assert len(said) == 1 and why in said[0], checked


def test_a_setting_is_named_as_it_was_given(tmp_path):
    config = tmp_path / "muster.conf"
    config.write_text("# ours\nrelay-color = zzz\n")
    for verb in ("node", "check"):
        for flags, env, where in (([], {"MUSTER_RELAY_COLOR": "zzz"}, "MUSTER_RELAY_COLOR: "), (["--config", str(config)], {}, f"{config}:2: relay-color: "),
                                  (["--config", str(config), "--relay-color", "yyy"], {}, "--relay-color: "),
                                  ([], {"SG_PROCESS_COUNT": "2"}, "SG_PROCESS_COUNT: "),
                                  ([], {"PORT": "8081", "MUSTER_ADMIN": "0.0.0.0:8081"}, "MUSTER_ADMIN: PORT has the same address")):
            done = muster(verb, *flags, env=env)
            assert done.returncode == 2 and where in done.stdout + done.stderr, done


def test_all_that_is_wrong_is_said_at_once():
    done = muster("node", "--relay-color", "zzz", "--tracker-forward", "x", "--store-prefix", "")
    assert done.returncode == 2 and [line.split(":")[1].strip() for line in done.stderr.splitlines()] == ["--store-prefix", "--relay-color", "--tracker-forward"]


def test_a_password_in_a_broken_uri_is_not_shown():
    for uri in ("postgresql//user:hush-hush@host", "postgresql://user:hush-hush%zz@host/x", "user=x password='hush-hush"):
        for verb in ("sink", "migrate", "check"):
            done = muster(verb, "--postgres", uri)
            assert done.returncode == 2 and "--postgres" in done.stdout + done.stderr, done
            assert "hush" not in done.stdout + done.stderr


def test_addresses_that_cannot_be_had(yard):
    """Of another machine: an error. One that somebody has, who may be the node that is to be looked at: a warning."""
    all_ = findings("--http", "203.0.113.7:8080", code=1)
    found(all_, "error", "--http", "203.0.113.7:8080")
    node = yard.node()
    found(findings("--http", f"127.0.0.1:{node.port}", code=0), "warn", "--http", str(node.port), "in use")
    assert muster("node", "--http", f"127.0.0.1:{node.port}").returncode == 1
    tracker = ["--tracker", "203.0.113.7:3000"]
    found(findings("--http", f"127.0.0.1:{free_port()}", *tracker, code=1), "error", "--tracker", "203.0.113.7:3000")


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


@pytest.mark.parametrize("apart, words", [(7, "7.0 s ahead of"), (-90, "90.0 s behind")])
def test_clocks_of_servers_that_are_apart(yard, apart, words):
    redis = yard.redis(apart=apart)
    server = yard.postgres(apart=apart)
    all_ = findings("--store", redis.url, "--postgres", server.uri, code=0)
    for whose in ("redis 0", "postgres"):
        found(all_, "warn", whose, "clock", words, "NTP")


def clock_of_this_machine(apart):
    """Only what with_clock() adds; a sanitizer's library wants to be the first one otherwise."""
    return {**{name: with_clock(apart)[name] for name in ("LD_PRELOAD", "CLOCK_APART_MS")}, "ASAN_OPTIONS": "verify_asan_link_order=0"}


def test_this_machines_clock_is_apart(redis, postgres):
    all_ = findings("--store", redis.url, "--postgres", postgres.uri, code=0, env=clock_of_this_machine(30))
    for whose in ("redis 0", "postgres"):
        found(all_, "warn", whose, "clock", "30.0 s behind", "NTP")


def test_a_clock_within_a_second_is_no_warning(yard):
    redis = yard.redis(apart=0.5)
    all_ = findings("--store", redis.url, code=0)
    assert [one for one in all_ if "clock" in one[2] and one[0] != "ok"] == [], all_

# SPDX-License-Identifier: MIT
"""The sink follows PostgreSQL: standbys, promotions, poolers; and is not ready while it cannot store."""

import subprocess

import pytest

from lib.logs import add, begin_sink, stored
from lib.pooler import Pooler
from lib.postgres import Postgres
from lib.process import muster
from lib.waiting import wait_until


@pytest.fixture
def postgres(yard):
    return yard.keep(Postgres("primary", yard.folder)).make().start()


@pytest.fixture
def standby(yard, postgres):
    migrate(postgres)
    return yard.keep(Postgres("standby", yard.folder)).make_standby_of(postgres).start()


def migrate(server):
    done = muster("migrate", "--postgres", server.uri)
    assert done.returncode == 0, done.stderr


def both(one, other, more=""):
    return f"postgresql://postgres@127.0.0.1:{one.port},127.0.0.1:{other.port}/postgres{more}"


def stored_texts(server):
    return [row[0] for row in server.ask("select msg from log_entry where coalesce(user_name, '') <> 'server' order by seq_number")]


def replicated(primary):
    return primary.value("select count(*) from pg_stat_replication where replay_lsn = pg_current_wal_lsn()") == "1"


@pytest.mark.parametrize("more", ["", "?target_session_attrs=read-write"])
def test_a_standby_that_is_promoted_is_followed(yard, redis, postgres, standby, more):
    """The standby stands first in the URI: it is passed over until it is the primary."""
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, both(standby, postgres, more)).ready()
    for i in range(20):
        stored(node, {"msg": f"before {i}"})
    wait_until(lambda: len(stored_texts(postgres)) == 20 and replicated(postgres), "they are stored on both")
    postgres.kill()
    wait_until(lambda: sink.status("/readyz") == 503, "it is not ready")
    assert "PostgreSQL cannot be reached" in sink.get("/readyz")[1]
    stored(node, {"msg": "meanwhile"})
    standby.psql("select pg_promote()")
    sink.ready()
    stored(node, {"msg": "after"})
    wanted = [*(f"before {i}" for i in range(20)), "meanwhile", "after"]
    wait_until(lambda: len(stored_texts(standby)) >= len(wanted), "all are stored")
    assert stored_texts(standby) == wanted


def test_check_calls_a_standby_what_it_is(postgres, standby):
    checked = muster("check", "--postgres", standby.uri, deadline=30)
    assert checked.returncode == 1 and "error postgres" in checked.stdout and "is a standby" in checked.stdout
    assert muster("check", "--postgres", both(standby, postgres, "?target_session_attrs=read-write"), deadline=30).returncode == 0


def test_a_pooler_in_transaction_mode_is_noticed(yard, redis, postgres):
    migrate(postgres)
    pooler = yard.keep(Pooler(postgres.port)).start()
    yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres.uri_at(pooler.port))
    wait_until(lambda: "transaction mode" in (sink.get("/readyz")[1] if sink.status("/healthz") else ""), "it says what is wrong", 30)
    assert sink.status("/readyz") == 503


def unready_while(sink, node, text, limit=30):
    """What is added waits, and /readyz says why."""
    add(node, {"msg": "waits"})
    wait_until(lambda: sink.status("/readyz") == 503 and text in sink.get("/readyz")[1], f"it says {text}", limit)


def ready_again(sink, postgres):
    sink.ready()
    wait_until(lambda: stored_texts(postgres) == ["waits"], "what waited is stored, once")


def test_a_synchronous_standby_that_is_missing(yard, redis, postgres):
    migrate(postgres)
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres).ready()
    postgres.psql("alter system set synchronous_standby_names = 'nobody'")
    postgres.psql("select pg_reload_conf()")
    unready_while(sink, node, "has not stored", 60)
    postgres.psql("alter system reset synchronous_standby_names")
    postgres.psql("select pg_reload_conf()")
    ready_again(sink, postgres)


def test_a_lane_that_is_stuck(yard, redis, postgres):
    """Somebody holds a lock on what the sink writes, and keeps it."""
    migrate(postgres)
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres).ready()
    with subprocess.Popen(["psql", "-X", "-q", "-d", postgres.uri], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as other:
        other.stdin.write("begin; lock table log_lane in access exclusive mode;\n")
        other.stdin.flush()
        wait_until(lambda: postgres.value("select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted") != "0", "it holds it")
        unready_while(sink, node, "has not stored", 60)
        other.stdin.close()
    ready_again(sink, postgres)


@pytest.mark.parametrize("state, what", [("53100", "No space left on device"), ("42501", "permission denied")])
def test_an_error_that_is_no_rows_fault(yard, redis, postgres, state, what):
    """As a full disk and a right that was taken away answer."""
    migrate(postgres)
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres).ready()
    postgres.psql(f"create function fail() returns trigger language plpgsql as $$ begin raise exception '{what}' using errcode = "
                  f"'{state}'; end $$; create trigger fail before insert on log_entry for each row execute function fail()")
    unready_while(sink, node, what)
    assert int(postgres.value("select count(*) from log_entry_rejected")) == 0
    postgres.psql("drop trigger fail on log_entry")
    ready_again(sink, postgres)

# SPDX-License-Identifier: MIT
"""The sink follows PostgreSQL: standbys, promotions, poolers; and is not ready while it cannot store."""

import subprocess
import time

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


def set_read_only(server, value):
    server.psql(f"alter system set default_transaction_read_only = {value}")
    server.psql("select pg_reload_conf()")
    wait_until(lambda: server.value("show default_transaction_read_only") == value, f"it is {value}")


def test_a_primary_that_becomes_read_only_is_left(yard, redis, postgres, standby):
    """As managed services do it: its sessions stay, nothing is cut. The other server of the URI takes over."""
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, both(postgres, standby)).ready()
    stored(node, {"msg": "before"})
    wait_until(lambda: stored_texts(postgres) == ["before"] and replicated(postgres), "it is stored on both")
    set_read_only(postgres, "on")
    standby.psql("select pg_promote()")
    wait_until(lambda: standby.value("select pg_is_in_recovery()") == "f", "the standby is the primary")
    set_read_only(standby, "off")  # which it may have taken over
    stored(node, {"msg": "after"})
    wait_until(lambda: stored_texts(standby) == ["before", "after"], "it is stored by the new primary", 60)
    sink.ready()
    assert "the server has become read-only" in sink.log()


def test_an_address_that_first_leads_to_a_standby(yard, redis, postgres, standby):
    way = yard.proxy(standby)
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres.uri_at(way.port))
    wait_until(lambda: sink.status("/readyz") == 503 and "PostgreSQL cannot be reached" in sink.get("/readyz")[1], "it says what is wrong")
    stored(node, {"msg": "waits"})
    way.switch(postgres.port)
    ready_again(sink, postgres)


def sessions_of(server):
    """The backends that serve sinks."""
    return sorted(server.ask("select pid from pg_stat_activity where application_name like 'muster sink%'"))


def test_time_outs_of_role_and_database_do_not_hurt(yard, redis, postgres):
    """Each that the server knows is so short that a lane would not live for a second with it."""
    migrate(postgres)
    known = [row[0] for row in postgres.ask("select name from pg_settings where name in ('statement_timeout', 'lock_timeout', 'idle_session_timeout', "
                                            "'idle_in_transaction_session_timeout', 'transaction_timeout')")]
    assert len(known) >= 4
    for name in known:
        postgres.psql(f"alter database postgres set {name} = '700ms'")
        postgres.psql(f"alter role postgres set {name} = '500ms'")
    [node] = yard.fleet([redis.url])
    sinks = [begin_sink(yard, redis.url, postgres).ready() for _ in range(2)]
    wait_until(lambda: [sink.metrics()["muster_sink_lanes"] for sink in sinks] == [2, 2], "they share the lanes")
    wait_until(lambda: len(sessions_of(postgres)) == 6, "what was given away has ended its sessions")
    before = sessions_of(postgres)
    end = time.monotonic() + 3
    wait_until(lambda: time.monotonic() > end, "six times as long as they may be idle")
    assert sessions_of(postgres) == before, "no session was cut"
    stored(node, {"msg": "after all"})
    wait_until(lambda: stored_texts(postgres) == ["after all"], "it is stored")
    for sink in sinks:
        assert "timeout" not in sink.log() and sink.is_ready()


def test_a_database_without_the_schema(yard, redis):
    postgres = yard.postgres(migrated=False)
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres)
    unready_while(sink, node, "run muster migrate")
    migrate(postgres)
    ready_again(sink, postgres)


@pytest.mark.parametrize("table", ["log_entry", "log_lane"])
def test_a_table_that_is_gone(yard, redis, postgres, table):
    migrate(postgres)
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres).ready()
    postgres.psql(f"alter table {table} rename to elsewhere")
    unready_while(sink, node, f'{table}\\" does not exist')
    postgres.psql(f"alter table elsewhere rename to {table}")
    ready_again(sink, postgres)


def test_rights_that_are_taken_away(yard, redis, postgres):
    migrate(postgres)
    postgres.psql("create role writer login; grant muster_writer to writer")
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres.uri.replace("postgres@", "writer@")).ready()
    postgres.psql("revoke muster_writer from writer")
    unready_while(sink, node, "permission denied")
    postgres.psql("grant muster_writer to writer")
    ready_again(sink, postgres)


def test_a_server_that_is_read_only_for_a_while(yard, redis, postgres):
    migrate(postgres)
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres).ready()
    set_read_only(postgres, "on")
    unready_while(sink, node, "read-only")
    set_read_only(postgres, "off")
    ready_again(sink, postgres)

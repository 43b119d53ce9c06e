# SPDX-License-Identifier: MIT
"""Further back than the stream: stored lines, read from PostgreSQL by a node, in the viewer, and by `muster tail --postgres`."""

import json
import signal
import threading
import urllib.error
import urllib.parse
import urllib.request

import pytest
from selenium.webdriver.common.keys import Keys

from lib.browser import chromium
from lib.logs import add, begin_sink, stored
from lib.ports import free_port
from lib.process import muster
from lib.waiting import wait_until
from test_logs_viewer import Viewer


@pytest.fixture
def postgres(postgres):
    postgres.psql("create role looker login in role muster_reader")
    return postgres


def reader(postgres):
    return postgres.uri.replace("postgres@", "looker@")


def ask(node, token=None, client=None, **query):
    query = {name: json.dumps(value) if isinstance(value, list) else value for name, value in query.items()}
    headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **({"X-Forwarded-For": client} if client else {})}
    request = urllib.request.Request(node.http("/logs/stored?" + urllib.parse.urlencode(query)), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def messages(node, **query):
    status, said = ask(node, **query)
    assert status == 200, said
    return [entry["msg"] for entry in said["entries"]]


def fill(postgres, count, first=0, room="'R'", level="'info'", day="2026-01-05", msg="'line ' || i", user="'user' || i % 3"):
    """Rows of a day that is over, one each second, as a sink would have put them there."""
    postgres.psql(f"select log_partition_make('{day}'); insert into log_entry (server_time, seq_number, level, msg, user_name, room, extra) "
                  f"select t, (extract(epoch from t) * 1000000)::bigint, {level}, {msg}, {user}, {room}, jsonb_build_object('tick', i) from "
                  f"(select i, timestamptz '{day} 00:00:00+00' + i * interval '1 second' as t from generate_series({first}, {first + count - 1}) i) n")


def test_a_node_reads_page_by_page_and_only_what_is_asked_for(yard, redis, postgres):
    [node] = yard.fleet([redis.url], postgres=reader(postgres), logs_sink="off")
    fill(postgres, 2500)
    seen, place = [], {}
    while True:
        status, said = ask(node, limit=1000, **place)
        assert status == 200, said
        seen += [entry["msg"] for entry in said["entries"]]
        if not said["more"]:
            break
        place = {"before": said["before"], "seq": said["seq"]}
    assert seen == [f"line {i}" for i in reversed(range(2500))], "all of it, the newest first, nothing twice"
    [entry] = ask(node, limit=1)[1]["entries"]
    assert entry["serverTime"] * 1000 == entry["seqNumber"] == 1767573699000000
    assert entry["tick"] == 2499 and entry["user"] == "user0" and entry["room"] == "R" and "timestamp" not in entry
    fill(postgres, 3, 3000, room="null", level="'error'", msg="'it''s \\ \"' || i", user="null")
    assert messages(node, levels="error,fatal") == [f"it's \\ \"{i}" for i in (3002, 3001, 3000)]
    assert messages(node, levels="info", limit=2) == ["line 2499", "line 2498"]
    assert messages(node, room="R", limit=1) == ["it's \\ \"3002"], "a room's lines, and those of none"
    assert messages(node, rooms=["R"], limit=1) == ["line 2499"] and messages(node, rooms=[""], limit=1) == ["it's \\ \"3002"]
    assert messages(node, norooms=[""], limit=1) == ["line 2499"]
    assert messages(node, users=["user1"], limit=2) == ["line 2497", "line 2494"]
    assert messages(node, nousers=["", "user0", "it's"], limit=2) == ["line 2498", "line 2497"]
    line = ask(node, limit=1, users=["user1"])[1]["entries"][0]["seqNumber"]
    assert messages(node, line=line, limit=2) == ["line 2497", "line 2496"], "a line by its number, and what was before it"
    assert messages(node, line=12345) == []


def test_its_bounds(yard, redis, postgres):
    [node] = yard.fleet([redis.url], postgres=reader(postgres), logs_sink="off")
    fill(postgres, 10, msg="repeat('x', 1000000)")
    status, said = ask(node)
    assert status == 200 and len(said["entries"]) == 4 and said["more"], "no more than four megabytes at once"
    for query in ({"users": "no list"}, {"users": "[1]"}, {"users": ["x" * 600]}, {"users": ["x"] * 100}, {"before": "soon"}, {"levels": "loud"},
                  {"room": "a\0b"}, {"norooms": ["\0"]}, {"line": "-1"}, {"seq": "9" * 30}):
        status, said = ask(node, **query)
        assert status == 400 and next(iter(query)) in said["error"], (query, said)
    assert ask(node, users=["'); drop table log_entry; --", "\\'"])[0] == 200
    assert int(postgres.value("select count(*) from log_entry")) == 10
    postgres.psql("revoke select on log_entry from muster_reader")
    status, said = ask(node)
    assert status == 503 and "muster_reader" in said["error"]


def test_own_lines_and_tokens(yard, redis, postgres):
    public = yard.begin(store=redis.url, postgres=reader(postgres), logs_sink="off", admin=f"127.0.0.1:{free_port()}")
    wait_until(lambda: "for=http" in public.log(), "it listens")
    closed = yard.node(store=redis.url, postgres=reader(postgres), logs_sink="off", logs_listen_token="s\u00e9cret")
    postgres.psql("select log_partition_make('2026-01-05'); insert into log_entry (server_time, seq_number, msg, user_name, extra) values "
                  "('2026-01-05', 1, 'own', 'server', '{\"node\": \"n\"}'), ('2026-01-05', 2, 'theirs', 'server', null)")
    assert messages(public) == ["theirs"], "the nodes' own lines are not for everybody"
    assert closed.get("/logs/stored")[0] == 401
    status, said = ask(closed, token="s\u00e9cret".encode().decode("latin-1"))
    assert status == 200 and [entry["msg"] for entry in said["entries"]] == ["theirs", "own"]


def test_without_postgres_and_with_one_that_is_away(yard, redis, postgres):
    plain = yard.node()
    assert ask(plain) == (200, {"stored": False})
    [node] = yard.fleet([redis.url], postgres=reader(postgres), logs_sink="off")
    assert ask(node, limit=0) == (200, {"stored": True})
    assert postgres.value("select count(*) from pg_stat_activity where usename = 'looker'") == "0", "no session before one asks"
    fill(postgres, 5)
    assert len(messages(node)) == 5
    postgres.kill()
    status, said = ask(node)
    assert status == 503 and "PostgreSQL cannot be reached" in said["error"]
    add(node, {"msg": "x"})
    postgres.start()
    wait_until(lambda: ask(node)[0] == 200, "and again when it is back", 40)


def test_a_slow_postgres_holds_up_nobody(yard, redis, postgres):
    [node] = yard.fleet([redis.url], postgres=reader(postgres), logs_sink="off", trusted_proxies="127.0.0.1")
    fill(postgres, 5)
    assert len(messages(node)) == 5
    postgres.signal_all(signal.SIGSTOP)
    answers = []

    def begin(client, count):
        askers = [threading.Thread(target=lambda: answers.append(ask(node, client=client))) for _ in range(count)]
        for asker in askers:
            asker.start()
        return askers

    askers = begin("203.0.113.0", 20)
    wait_until(lambda: len(answers) == 16, "one address does not take all places")
    assert all(status == 503 and "of this address" in said["error"] for status, said in answers)
    askers += [asker for i in range(1, 4) for asker in begin(f"203.0.113.{i}", 4)]
    askers += begin("203.0.113.5", 2)
    wait_until(lambda: len(answers) == 18, "over sixteen are turned away at once")
    assert all("ask this node" in said["error"] for _, said in answers[16:])
    for _ in range(5):
        assert node.get("/healthz")[0] == 200
    postgres.signal_all(signal.SIGCONT)
    for asker in askers:
        asker.join()
    assert sum(status == 200 for status, _ in answers) == 16


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


def test_live_and_stored_lines_are_one_view(driver, yard, redis, postgres, tmp_path):
    [node] = yard.fleet([redis.url], postgres=reader(postgres), logs_sink="off")
    fill(postgres, 1500)
    stored(node, [{"msg": f"live {i}", "room": "R", "user": "u"} for i in range(30)])
    viewer = Viewer(driver, node, "?room=R&nouser=server")
    viewer.wait_lines(30)
    older = lambda: viewer.part("older")
    wait_until(lambda: older().is_displayed() and older().text == "Older lines", "they can be had")
    older().click()
    viewer.wait_lines(530)
    assert not viewer.part("more").is_displayed(), "older lines are no news"
    assert "live 0" in viewer.rows(), "what was in sight is where it was"
    viewer.keys(Keys.HOME)
    wait_until(lambda: viewer.cursor() == "line 1000", "the first of them")
    assert "stored" in viewer.part("day").text
    viewer.keys(Keys.ENTER)
    assert "kept in\nPostgreSQL" in viewer.part("detail-facts").text
    viewer.keys(Keys.ESCAPE, "o")
    viewer.wait_lines(1030)
    wait_until(lambda: older().text == "Older lines", "and more")
    viewer.keys("o")
    viewer.wait_lines(1530)
    wait_until(lambda: older().text == "No older lines" or older().text == "Older lines", "nearly all")
    viewer.keys("o")
    wait_until(lambda: older().text == "No older lines", "all")
    viewer.keys(Keys.HOME)
    wait_until(lambda: viewer.rows()[:3] == ["line 0", "line 1", "line 2"], "in order")
    assert driver.save_screenshot(str(tmp_path / "stored.png"))
    stored(node, {"msg": "still live", "room": "R", "user": "u"})
    viewer.keys(Keys.END)
    wait_until(lambda: viewer.rows()[-1] == "still live", "and it goes on")
    assert not viewer.faults()


def test_the_same_filters_go_to_postgres(driver, yard, redis, postgres):
    [node] = yard.fleet([redis.url], postgres=reader(postgres), logs_sink="off")
    fill(postgres, 1200)
    fill(postgres, 2, 100000 - 30000, level="'error'", msg="'broken ' || i", user="'user1'")
    fill(postgres, 1200, 75000)
    stored(node, {"msg": "live", "room": "R", "user": "u", "level": "error"})
    viewer = Viewer(driver, node, "?room=R&levels=error&nouser=server")
    viewer.wait_lines(1)
    wait_until(lambda: viewer.part("older").is_displayed(), "they can be had")
    viewer.keys("o")
    viewer.wait_lines(3)
    assert viewer.rows() == ["broken 70000", "broken 70001", "live"]
    viewer.part("level-info").click()  # what lies between was not asked for: there is no hole in what is shown
    viewer.wait_lines(1)
    viewer.keys("o")
    viewer.wait_lines(501)
    viewer.part("level-info").click()
    viewer.wait_lines(1)
    viewer.type("include", "line 7$")
    viewer.part("level-info").click()
    viewer.wait_lines(0)
    viewer.keys("o")
    viewer.wait_lines(1)
    assert viewer.rows() == ["line 7"], "a pattern that few lines match looks through several pages"
    assert not viewer.faults()


def test_a_link_to_a_stored_line(driver, yard, redis, postgres):
    [node] = yard.fleet([redis.url], postgres=reader(postgres), logs_sink="off")
    fill(postgres, 900)
    stored(node, {"msg": "live", "room": "R", "user": "u"})
    number = postgres.value("select seq_number from log_entry where msg = 'line 400'")
    viewer = Viewer(driver, node, f"?room=R&nouser=server#line={number}")
    wait_until(lambda: viewer.cursor() == "line 400" and viewer.part("detail").is_displayed(), "it is found in PostgreSQL", 40)
    viewer.keys(Keys.ESCAPE)
    driver.get("about:blank")
    viewer = Viewer(driver, node, "?room=R&nouser=server#line=12345")
    wait_until(lambda: "Neither the stream nor PostgreSQL" in viewer.part("said").text, "one that is nowhere is said to be", 40)


def test_what_is_not_stored_yet_is_said(driver, yard, redis, postgres):
    [node] = yard.fleet([redis.url], postgres=reader(postgres))
    sink = begin_sink(yard, redis.url, postgres).ready()
    stored(node, [{"msg": f"line {i}", "room": "R", "user": "u"} for i in range(50)])
    wait_until(lambda: int(postgres.value("select count(*) from log_entry where room = 'R'")) == 50, "they are stored")
    sink.kill()
    stored(node, [{"msg": f"line {i}", "room": "R", "user": "u"} for i in range(50, 90)])
    wait_until(lambda: ask(node)[1]["unstored"] >= 40, "the node knows how many are not", 40)
    viewer = Viewer(driver, node, "?room=R&backlog=20")
    wait_until(lambda: viewer.part("older").is_displayed() and "line 89" in viewer.rows(), "they can be had")
    viewer.keys("o")
    wait_until(lambda: any(row.startswith("▲ stored in PostgreSQL, up to 20") and "not stored yet may be missing here" in row for row in viewer.rows()),
               "where one ends and the other begins")


def test_tail_shows_stored_lines_and_ends(postgres):
    postgres.psql("select log_partition_make(day) from (select ((now() at time zone 'UTC')::date - n)::date as day from generate_series(0, 1) n) d; "
                  "insert into log_entry (server_time, seq_number, level, msg, room) select t, (extract(epoch from t) * 1000000)::bigint, "
                  "case when i % 2 = 0 then 'warn' else 'info' end, 'line ' || i, 'R' from "
                  "(select i, now() - (5000 - i) * interval '1 second' as t from generate_series(0, 4999) i) n")
    last = muster("tail", "--postgres", reader(postgres))
    assert last.returncode == 0 and [line.split()[-1] for line in last.stdout.splitlines()] == [str(i) for i in range(4990, 5000)], last
    warned = muster("tail", "--postgres", reader(postgres), "--level", "warn", "--since", "1h", "--room", "R", "--grep", "line [0-9]*[0246]$", "--json").stdout
    entries = [json.loads(line) for line in warned.splitlines()]
    numbers = [int(entry["msg"].split()[1]) for entry in entries]
    assert numbers == [i for i in range(numbers[0], 5000) if i % 10 in (0, 2, 4, 6)], "the oldest first, each once, page by page"
    assert 1390 < numbers[0] < 1500 and all(entry["level"] == "warn" and entry["room"] == "R" for entry in entries)
    assert muster("tail", "--postgres", reader(postgres), "--room", "none such").stdout == ""


def test_tail_says_what_is_wrong_with_postgres(postgres):
    postgres.psql("revoke select on log_entry from muster_reader")
    said = muster("tail", "--postgres", reader(postgres))
    assert said.returncode == 2 and "grant it muster_reader" in said.stderr and not said.stdout
    away = muster("tail", "--postgres", f"postgresql://x@127.0.0.1:{free_port()}/x")
    assert away.returncode == 2 and "cannot be reached" in away.stderr

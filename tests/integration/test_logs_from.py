# SPDX-License-Identifier: MIT
"""`muster sink --from` against servers that say odd things, say much, or go away at a bad moment."""

import asyncio
import json
import threading
import time
import time as time_

import pytest
import websockets

from lib.logs import stored
from lib.node import Sink
from lib.ports import free_port
from lib.waiting import DEADLINE, wait_until

DEEPEST = 128  # levels that muster's own reader follows


class Speaker:
    """A server that speaks as docs/protocols.md has it and says what it is told to, to those that listen."""

    def __init__(self, host="127.0.0.1"):
        self.name, self.host, self.port = "speaker", host, free_port()
        self.heads, self.links = [], set()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.server = self._call(self._serve())

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(DEADLINE)

    async def _serve(self):
        return await websockets.serve(self._on_link, self.host, self.port, max_size=None, ping_interval=None)

    async def _on_link(self, link, *_):
        self.heads.append(link.request_headers)
        self.links.add(link)
        try:
            await link.wait_closed()
        finally:
            self.links.discard(link)

    async def _say(self, text):
        for link in list(self.links):
            await link.send(text)

    def say(self, *entries):
        """One message with these entries; a text goes as it is."""
        self._call(self._say(entries[0] if isinstance(entries[0], str) else json.dumps(entries)))

    def begin_saying(self, text):
        """The same for a listener that may not take it."""
        return asyncio.run_coroutine_threadsafe(self._say(text), self.loop)

    async def _end(self):
        self.server.close()
        await self.server.wait_closed()

    def stop(self):
        self._call(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)


def listen(yard, speaker, postgres, **settings):
    host = f"[{speaker.host}]" if ":" in speaker.host else speaker.host
    uri = postgres if isinstance(postgres, str) else postgres.uri
    settings = {"from": f"ws://{host}:{speaker.port}/logs/listen", "postgres": uri, "sink_retention": "0s", **settings}
    dumper = yard.keep(Sink(f"dumper-{len(yard.started)}", yard.folder, **settings)).start().ready()
    wait_until(lambda: dumper.metrics()["muster_sink_lanes"] == 1, "it stores")
    return dumper


def entry(number, **fields):
    return {"serverTime": int(time.time() * 1000), "seqNumber": number, **fields}


def count(postgres, where="true"):
    return int(postgres.value(f"select count(*) from log_entry where {where}"))


def test_while_postgres_is_away_it_takes_no_more_than_its_bound(yard, postgres):
    """32 batches of 1 KiB; each message has a good 2 KB."""
    speaker = yard.keep(Speaker())
    dumper = listen(yard, speaker, postgres, sink_bytes="1k")
    postgres.kill()
    wait_until(lambda: dumper.metrics()["muster_sink_postgres_up"] == 0, "it notices")
    told, begun = 0, time.monotonic()
    while time.monotonic() < begun + 4:  # it would take more ten times a second
        for _ in range(20 if told < 500 else 0):
            told += 1
            speaker.begin_saying(json.dumps([entry(told, msg="x" * 2000)]))
        assert dumper.metrics()["muster_sink_lag_entries"] < 40
    wait_until(lambda: dumper.metrics()["muster_sink_lag_entries"] >= 8, "it has taken what it may")
    postgres.start()
    wait_until(lambda: count(postgres) == told, f"all {told} are stored", 60)
    assert postgres.value("select count(distinct seq_number) from log_entry") == str(told)


def test_told_to_end_while_postgres_is_away_it_waits_for_it(yard, postgres):
    speaker = yard.keep(Speaker())
    dumper = listen(yard, speaker, postgres)
    postgres.kill()
    wait_until(lambda: dumper.metrics()["muster_sink_postgres_up"] == 0, "it notices")
    speaker.say(*[entry(i, msg="kept") for i in range(1, 11)])
    wait_until(lambda: dumper.metrics()["muster_sink_lag_entries"] == 10, "it has heard them")
    dumper.term()
    wait_until(lambda: "stopping" in dumper.log(), "it has heard that, too")
    postgres.start()
    assert dumper.popen.wait(DEADLINE) == 0
    assert count(postgres, "msg = 'kept'") == 10


def test_told_to_end_with_no_postgres_it_says_what_is_lost(yard, postgres):
    speaker = yard.keep(Speaker())
    dumper = listen(yard, speaker, postgres)
    postgres.kill()
    wait_until(lambda: dumper.metrics()["muster_sink_postgres_up"] == 0, "it notices")
    speaker.say(*[entry(i, msg="gone") for i in range(1, 11)])
    wait_until(lambda: dumper.metrics()["muster_sink_lag_entries"] == 10, "it has heard them")
    dumper.term()
    assert dumper.popen.wait(DEADLINE) == 0
    assert "not stored" in dumper.log() and "10" in dumper.log().rsplit("not stored", 1)[1]


def nested(levels):
    return '{"msg":"deep","d":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


def test_an_entry_nested_as_deep_as_is_taken_costs_no_other(yard, postgres):
    """In a message it stands one level deeper than when it was added."""
    a = yard.node()
    dumper = yard.keep(Sink("dumper", yard.folder, postgres=postgres.uri, **{"from": a.ws("/logs/listen")})).start().ready()
    wait_until(lambda: dumper.metrics()["muster_sink_lanes"] == 1, "it stores")
    stored(a, nested(DEEPEST).encode())
    stored(a, [{"msg": "beside"} for _ in range(20)])
    wait_until(lambda: count(postgres, "msg = 'beside'") == 20, "those beside it")
    wait_until(lambda: count(postgres, "msg = 'deep'") == 1, "the deep one")


def test_odd_messages_are_stored_as_far_as_they_are_entries(yard, postgres):
    speaker = yard.keep(Speaker())
    listen(yard, speaker, postgres)
    speaker.say("pong")
    speaker.say("\n [" + json.dumps(entry(1, msg="blank before")) + "]\n")
    speaker.say(" " + json.dumps(entry(2, msg="one alone")) + " ")
    speaker.say("[" + json.dumps(entry(3, msg="beside")) + "," + nested(DEEPEST * 2) + ",7]")
    speaker.say(entry(4, msg="last"))
    wait_until(lambda: count(postgres) == 4, "four entries")
    wait_until(lambda: postgres.ask("select reason, left(raw, 12) from log_entry_rejected order by id") == [
        ["not a JSON object", '{"msg":"deep'], ["not a JSON object", "7"]], "the rest is set aside")


LAST_DAY_MS = 9224318015999999 // 1000  # of a timestamptz: 294276-12-31


@pytest.mark.parametrize("time", [LAST_DAY_MS, -210866803200000, -210866803199999.5, -62135596800000.5, -0.5, 253402300800000, 9e15])
def test_times_at_the_edges_do_not_stop_it(yard, postgres, time):
    speaker = yard.keep(Speaker())
    dumper = listen(yard, speaker, postgres)
    postgres.psql("alter table log_entry add constraint no_evil check (msg not like 'evil%')")
    speaker.say({"serverTime": time, "seqNumber": 1, "msg": "edge"}, {"serverTime": time, "seqNumber": 2, "msg": "evil"},
                entry(3, msg="good"))
    wait_until(lambda: count(postgres, "msg = 'good'") == 1, "the good one")
    wait_until(lambda: count(postgres) + int(postgres.value("select count(*) from log_entry_rejected")) == 3, "all three")
    assert postgres.value("select count(*) from log_entry_rejected where seq_number = 2") == "1"
    assert dumper.metrics()["muster_sink_lag_entries"] == 0


def test_the_address_of_an_ipv6_server_stands_in_brackets(yard, postgres):
    speaker = yard.keep(Speaker("::1"))
    listen(yard, speaker, postgres)
    assert speaker.heads[0]["Host"] == f"[::1]:{speaker.port}"


def test_after_a_message_that_is_too_large_it_listens_anew(yard, postgres):
    speaker = yard.keep(Speaker())
    dumper = listen(yard, speaker, postgres)
    speaker.begin_saying('["' + "x" * (33 << 20) + '"]')
    wait_until(lambda: "too large" in dumper.log(), "it says why")
    wait_until(lambda: len(speaker.heads) == 2, "it comes back")
    speaker.say(entry(1, msg="after"))
    wait_until(lambda: count(postgres, "msg = 'after'") == 1, "it hears on")


def test_lines_of_an_old_servers_own_are_stored_in_their_time(yard, postgres):
    """They bear no serverTime; some have no time at all."""
    speaker = yard.keep(Speaker())
    now = int(time_.time() * 1000)
    listen(yard, speaker, postgres)
    speaker.say({"timestamp": now - 60_000, "seqNumber": 5, "msg": "own"}, {"seqNumber": 6, "msg": "timeless"},
                {"serverTime": now, "seqNumber": 7, "timestamp": 1, "msg": "added"}, {"msg": "nothing"})
    wait_until(lambda: postgres.value("select count(*) from log_entry") == "4", "they are stored")
    rows = {row[0]: (int(row[1]), abs(float(row[2]) * 1000 - now)) for row in postgres.ask(
        "select msg, seq_number, extract(epoch from server_time) from log_entry")}
    assert {name: number for name, (number, _) in rows.items()} == {"own": 5, "timeless": 6, "added": 7, "nothing": 0}
    assert 59_000 < rows["own"][1] < 61_000 and rows["added"][1] < 1
    assert rows["timeless"][1] < 60_000 and rows["nothing"][1] < 60_000, "they are of when they came"

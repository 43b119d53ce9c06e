# SPDX-License-Identifier: MIT
"""Another server's log stream in this fleet's, while senders move: seen in one viewer, stored in one table."""

import time

from lib.logs import Listener, stored
from lib.node import Sink
from lib.process import muster
from lib.waiting import until, wait_until
from test_logs_from import Speaker, count, entry


def mirror(yard, redis, postgres, url, **settings):
    settings = {"store": redis.url, "postgres": postgres.uri, "mirror": url, "sink_retention": "0s", **settings}
    return yard.keep(Sink(f"mirror-{len(yard.started)}", yard.folder, **settings)).start().ready()


async def test_both_streams_are_seen_and_stored(yard, redis, postgres):
    """Two nodes, one of which dies; the other server is an old one, whose own lines have no serverTime."""
    a, b = yard.fleet([redis.url] * 2)
    old = yard.keep(Speaker())
    mirror(yard, redis, postgres, f"ws://{old.host}:{old.port}/logs/listen")
    listener = await Listener.join(a, "?roomId=r")
    before = int(time.time() * 1000)
    old.say(entry(1, msg="one", room="r", timestamp=1700000000000), {"timestamp": before, "seqNumber": 2, "msg": "its own line"})
    stored(b, {"msg": "ours", "room": "r"})
    await until(lambda: {"one", "its own line", "ours"} <= set(listener.texts()), "both are heard")
    b.kill()
    old.say(entry(3, msg="two", room="r"), "no object")
    old.say(entry(4, msg="three", room="other"))
    await until(lambda: "two" in listener.texts(), "it goes on")
    numbers = [heard["seqNumber"] for heard in listener.entries()]
    assert len(set(numbers)) == len(numbers) and min(numbers) > 10 ** 15, "numbers of this stream"
    assert [heard["timestamp"] for heard in listener.entries() if heard["msg"] == "one"] == [1700000000000]
    wait_until(lambda: count(postgres, "msg in ('one', 'two', 'three', 'its own line', 'ours')") == 5, "each is stored once")
    await listener.close()


def test_while_the_stream_is_full_it_waits(yard, redis, postgres):
    yard.fleet([redis.url], logs_bound=40, logs_sink="on")
    old = yard.keep(Speaker())
    keeper = mirror(yard, redis, postgres, f"ws://{old.host}:{old.port}/logs/listen", logs_bound=40, sink_keep="0",
                    sink_keep_entries=0)
    postgres.kill()
    for number in range(0, 60, 5):
        old.say(*[entry(number + i, msg="kept") for i in range(5)])
        time.sleep(0.1)  # else all of it is one batch, which cannot fit
    wait_until(lambda: "mirror waits" in keeper.log(), "it says so")
    postgres.start()
    wait_until(lambda: count(postgres, "msg = 'kept'") == 60, "all are stored", 60)


def test_bad_settings_are_named():
    for settings, word in ((["--mirror", "http://x/"], "--mirror"),
                           (["--mirror", "ws://x/", "--from", "ws://y/"], "--mirror: adds to the nodes'")):
        answer = muster("sink", "--postgres", "postgresql://127.0.0.1:1/x", "--store", "redis://127.0.0.1:1", *settings)
        assert answer.returncode != 0 and word in answer.stderr, answer.stderr

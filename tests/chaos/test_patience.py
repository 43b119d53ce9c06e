# SPDX-License-Identifier: MIT
"""A deadline in time as the cluster lives it: slowness stretches it, what never comes still breaks it."""

import asyncio
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from tally import Tally  # noqa: E402
from world import Expired  # noqa: E402
from patience import SLOW, STEP, Patience  # noqa: E402


async def expire(answer_after, seconds):
    """How long a deadline of `seconds` lasts beside a process that answers so slowly."""
    async def answer(reader, writer):
        await reader.read(1024)
        await asyncio.sleep(answer_after)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    patience = Patience(lambda: [port])
    patience.start()
    began = time.monotonic()
    with pytest.raises(Expired):
        await patience.until(lambda: False, "never", seconds)
    return time.monotonic() - began, patience.was_slow()


def test_a_deadline_is_the_wall_clock_s_while_all_answer():
    lasted, slow = asyncio.run(expire(0.0, 0.5))
    assert lasted >= 0.5 and (slow or lasted < 2)


def test_a_deadline_waits_for_who_is_slow():
    lasted, slow = asyncio.run(expire(SLOW, 5 * STEP))
    assert lasted > 5 * SLOW and slow


def test_nothing_is_waited_for_for_ever():
    lasted, _ = asyncio.run(expire(5.0, STEP))
    assert lasted < 30


def test_promises_of_calm_are_kept_where_there_was_none():
    tally = Tally(open("/dev/null", "w", encoding="utf-8"))
    tally.promise("always")
    tally.promise_in_calm("in calm")
    for was_calm, broken in ((False, 0), (True, 1)):
        tally.hold()
        tally.broken("in calm", "x")
        tally.judge(was_calm)
        assert tally.promises["in calm"] == broken
    tally.hold()
    tally.broken("always", "x")
    tally.judge(was_calm=False)
    assert tally.promises["always"] == 1

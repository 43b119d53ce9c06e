# SPDX-License-Identifier: MIT
"""Waiting by asking: nothing in these tests sleeps and hopes."""

import asyncio
import os
import time

DEADLINE = float(os.environ.get("MUSTER_TEST_DEADLINE", "20"))  # seconds; generous: only what never comes fails
PAUSE = 0.01  # seconds between two looks


class Expired(AssertionError):
    """What was waited for did not come."""


def wait_until(check, what, deadline=DEADLINE, pause=PAUSE):
    """Returns the first true value of `check()`."""
    end = time.monotonic() + deadline
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise Expired(f"not within {deadline} s: {what}")
        time.sleep(pause)


async def until(check, what, deadline=DEADLINE):
    """The same for a running event loop, whose clients go on meanwhile."""
    end = time.monotonic() + deadline
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise Expired(f"not within {deadline} s: {what}")
        await asyncio.sleep(PAUSE)


async def within(awaitable, what, deadline=DEADLINE):
    """Awaits with a deadline, and says what was missing."""
    try:
        return await asyncio.wait_for(awaitable, deadline)
    except asyncio.TimeoutError:
        raise Expired(f"not within {deadline} s: {what}") from None


async def until_true(check, what, deadline=DEADLINE):
    """Like until() for a coroutine function."""
    async def ask():
        while not await check():
            await asyncio.sleep(PAUSE)
    await within(ask(), what, deadline)

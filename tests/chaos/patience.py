# SPDX-License-Identifier: MIT
"""Time as the nodes live it. A deadline in seconds of the wall clock breaks on a machine that is merely slow; here a
second has passed when every process of the cluster has had its turns in it."""

import asyncio
import time

from lib.waiting import PAUSE, Expired

STEP = 0.1  # seconds between two questions
MOST = 10  # however slow all is: so many times the time that was given
SLOW = 0.5  # seconds for one step: links may fall of it, since they are proved within one
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
PING = b"PING\r\nQUIT\r\n"
STANDSTILL = 30  # seconds for an answer; nobody waits longer


class Patience:
    def __init__(self, ports, servers):
        self.ports, self.servers = ports, servers  # functions: where to ask /healthz, and Redis servers for a PING
        self.lived = 0.0
        self.longest, self.since = 0.0, 0.0  # the longest step of those begun since
        self.task = None

    def start(self):
        if self.task is None:
            self.task = asyncio.create_task(self._tick())

    def reset(self):
        self.longest, self.since = 0.0, time.monotonic()

    def was_slow(self):
        return self.longest > SLOW

    async def _tick(self):
        while True:
            began = time.monotonic()
            await asyncio.gather(*(self._ask(port, HEALTHZ) for port in self.ports()),
                                 *(self._ask(port, PING) for port in self.servers()))
            await asyncio.sleep(STEP)
            if began >= self.since:
                self.longest = max(self.longest, time.monotonic() - began)
            self.lived += STEP

    @staticmethod
    async def _ask(port, question):
        """Returns when it has answered, or is not there."""
        try:
            async with asyncio.timeout(STANDSTILL):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(question)
                    await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            pass

    async def until(self, check, what, seconds):
        """Like waiting.until, by this clock."""
        began, end, last = time.monotonic(), self.lived + seconds, time.monotonic() + seconds * MOST
        while not (value := check()):
            if self.lived > end or time.monotonic() > last:
                raise Expired(f"not within {seconds} s ({time.monotonic() - began:.1f} s by the clock): {what}")
            await asyncio.sleep(PAUSE)
        return value

# SPDX-License-Identifier: MIT
"""Faults of the servers' own are done one at a time; some while no node is being hurt: those that could bring back what a server
lost must live meanwhile."""

import asyncio
import contextlib

from lib.waiting import Expired, wait_until

NODES_WITHIN = 20.0


async def until(check, what, seconds):
    return await asyncio.to_thread(wait_until, check, what, seconds)


class Alone:
    """`place`: the servers, with `settle()`, which returns when all of them run and have all."""

    def __init__(self, storm, place):
        self.storm, self.world, self.rng, self.tally = storm, storm.world, storm.rng, storm.tally
        self.place = place
        self.turn = asyncio.Lock()
        self.counted = self.world.nodes  # whose word counts

    @contextlib.asynccontextmanager
    async def nodes_left_alone(self):
        """Gives the place, once it is settled and nobody is being hurt whose word counts; None when that does not come soon."""
        if self.turn.locked():
            yield None
            return
        async with self.turn:
            self.storm.spare_all = True
            try:
                yield await self._quiet_place()
            finally:
                self.storm.spare_all = False

    async def _quiet_place(self):
        try:
            await until(lambda: not any(node in self.storm.busy for node in self.world.nodes), "nodes are left alone", 6)
            await asyncio.to_thread(self.place.settle)
            await self.nodes_are_there()
        except (Expired, OSError):
            return None
        return self.place

    async def nodes_are_there(self):
        await until(lambda: all(node.is_ready() for node in self.counted), "nodes are ready", NODES_WITHIN)

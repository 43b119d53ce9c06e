# SPDX-License-Identifier: MIT
"""The faults, chosen by a seeded die. Each is begun, lasts a moment, and is ended before the storm is over."""

import asyncio
import os
import re
import signal

from failover import FailOvers
from pair import Pair
from slots import Moves, Slots
from world import TO_NODES

OF_PLACES = {Pair: FailOvers, Slots: Moves}  # the faults of servers that belong together


class Storm:
    def __init__(self, world, rng):
        self.world, self.rng, self.tally = world, rng, world.tally
        self.done = 0
        self.gentle = asyncio.Lock()  # one Redis is emptied at a time
        self.busy = set()  # who is being hurt
        self.spare_all = False  # no node is hurt now
        self.servers = OF_PLACES[type(world.place)](self, world.place) if world.place is not None else None
        self.kinds = [self.kill_node, self.kill_node, self.end_node, self.stop_node]
        if self.servers is not None:
            self.kinds += self.servers.kinds()
        else:
            self.kinds += [self.pause_redis, self.restart_redis, self.empty_redis]
        if any(node for node in world.nodes if hasattr(node, "hurt_worker")):
            self.kinds += [self.kill_worker, self.stop_worker]
        if world.links:
            self.kinds += [self.cut_link, self.freeze_link, self.drop_links, self.delay_link] * 2 + [self.restart_balancer]
        if world.sinks:
            self.kinds += [self.kill_sink, self.kill_sink]
        if world.postgres is not None:
            self.kinds += [self.restart_postgres, self.pause_postgres]
        only = os.environ.get("CHAOS_FAULTS")
        self.kinds = [kind for kind in self.kinds if only is None or re.search(only, kind.__name__)]

    async def rage(self, seconds):
        """Faults for so long; some of them at the same time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        running = set()
        self.world.calm = False
        while loop.time() < end:
            running.add(asyncio.create_task(self._one(self.rng.choice(self.kinds))))
            await asyncio.sleep(self.rng.uniform(0.2, 1.2))
        await asyncio.gather(*running)
        await self._one(self.kill_node_last)

    async def _one(self, kind):
        name = kind.__name__.replace("_", " ")
        try:
            where = await kind()
        except Exception as trouble:  # a node ended otherwise than it should, or something did not start again
            self.tally.broken("nodes that crashed", f"{name}: {trouble!r}")
            return
        if where is not False:
            self.done += 1
            self.tally.count(f"fault: {name}" + (f", {where}" if isinstance(where, str) else ""))

    async def _hurt(self, those, act, undo=None, seconds=0.0, harms=False):
        """One of `those` that is not hurt already. `harms`: clients there may be disconnected."""
        free = [one for one in those if one not in self.busy]
        if not free:
            return False
        one = self.rng.choice(free)
        self.busy.add(one)
        name = getattr(one, "name", None)
        if harms:
            self.world.harm(name)
        try:
            await asyncio.to_thread(act, one)
            await asyncio.sleep(seconds)
            if undo is not None:
                await asyncio.to_thread(undo, one)
        finally:
            self.busy.discard(one)
            self.world.harmed_no_more(name)
        return True

    # --- nodes

    def _spare_nodes(self):
        """Two nodes at least are left alone."""
        hurt = [node for node in self.world.nodes if node in self.busy]
        if self.spare_all:
            return []
        return self.world.nodes if len(hurt) < len(self.world.nodes) - 2 else []

    async def kill_node(self):
        return await self._hurt(self._spare_nodes(), lambda node: node.kill(), self.world.revive,
                                self.rng.uniform(0.1, 4), harms=True)

    async def kill_node_last(self):
        """With no time to get over it before all must be well."""
        return await self._hurt(self.world.nodes, lambda node: node.kill(), self.world.revive, harms=True)

    async def end_node(self):
        return await self._hurt(self._spare_nodes(), lambda node: node.term(), self.world.revive,
                                self.rng.uniform(1, 2), harms=True)

    async def stop_node(self):
        return await self._hurt(self._spare_nodes(), lambda node: node.pause(), lambda node: node.cont(),
                                self.rng.uniform(0.2, 4), harms=True)

    def _groups(self):
        return [node for node in self._spare_nodes() if hasattr(node, "hurt_worker")]

    async def kill_worker(self):
        return await self._hurt(self._groups(), lambda node: node.hurt_worker(), None, self.rng.uniform(0.5, 2),
                                harms=True)

    async def stop_worker(self):
        return await self._hurt(self._groups(), lambda node: node.hurt_worker(signal.SIGSTOP),
                                lambda node: node.cont(), self.rng.uniform(0.2, 4), harms=True)

    async def restart_balancer(self):
        self.world.harm("front")
        done = await self._hurt([self.world.balancer], lambda balancer: balancer.kill(),
                                lambda balancer: balancer.start(), self.rng.uniform(0, 1))
        self.world.harmed_no_more("front")
        return done

    # --- sinks and PostgreSQL

    async def kill_sink(self):
        return await self._hurt(self.world.sinks, lambda sink: sink.kill(), self.world.revive, self.rng.uniform(0.1, 2))

    async def restart_postgres(self):
        return await self._hurt([self.world.postgres], lambda server: server.kill(), lambda server: server.start(),
                                self.rng.uniform(0.1, 3))

    async def pause_postgres(self):
        return await self._hurt([self.world.postgres], lambda server: server.signal_all(signal.SIGSTOP),
                                lambda server: server.signal_all(signal.SIGCONT), self.rng.uniform(0.1, 3))

    # --- Redis

    async def pause_redis(self):
        return await self._hurt(self.world.servers, lambda redis: redis.signal(signal.SIGSTOP),
                                lambda redis: redis.cont(), self.rng.uniform(0.1, 4))

    async def restart_redis(self):
        """Kept: it has after the crash what it had before."""
        return await self._hurt(self.world.servers, lambda redis: redis.kill(), lambda redis: redis.start(),
                                self.rng.uniform(0, 3))

    async def empty_redis(self):
        """Only when nothing waits there that is promised to last; a play may need a moment for that."""
        return await self.while_empty_is_fine(
            lambda: self._hurt(self.world.servers, lambda redis: redis.restart_empty()))

    async def while_empty_is_fine(self, empty):
        async with self.gentle:
            for play in self.world.plays:
                if not await getattr(play, "let_redis_be_emptied", _yes)():
                    return False
            try:
                return await empty()
            finally:
                for play in self.world.plays:
                    getattr(play, "redis_was_emptied", lambda: None)()

    # --- links

    async def _hurt_link(self, act, undo=None, seconds=0.0, harms=True):
        """Of any kind; `harms`: clients behind it may be disconnected by that."""
        kind = self.rng.choice(list(self.world.links))
        harms = harms and kind == TO_NODES
        return kind if await self._hurt(self.world.links[kind], act, undo, seconds, harms) else False

    async def cut_link(self):
        return await self._hurt_link(lambda proxy: proxy.cut(), lambda proxy: proxy.mend(), self.rng.uniform(0.1, 4))

    async def freeze_link(self):
        return await self._hurt_link(lambda proxy: proxy.freeze(), lambda proxy: proxy.thaw(), self.rng.uniform(0.1, 4),
                                     harms=False)

    async def drop_links(self):
        return await self._hurt_link(lambda proxy: proxy.drop_links())

    async def delay_link(self):
        def act(proxy):
            proxy.delay = self.rng.uniform(0.01, 0.2)

        def undo(proxy):
            proxy.delay = 0.0
        return await self._hurt_link(act, undo, self.rng.uniform(0.5, 3), harms=False)


async def _yes():
    return True

"""The faults, chosen by a seeded die. Each is begun, lasts a moment, and is ended before the storm is over."""

import asyncio
import signal


class Storm:
    def __init__(self, world, rng):
        self.world, self.rng, self.tally = world, rng, world.tally
        self.done = 0
        self.gentle = asyncio.Lock()  # one of Redis' faults at a time
        self.busy = set()  # who is being hurt

    def kinds(self):
        kinds = [self.kill_node, self.kill_node, self.end_node, self.stop_node, self.pause_redis, self.restart_redis,
                 self.empty_redis]
        if self.world.proxies:
            kinds += [self.cut_link, self.freeze_link, self.drop_links, self.drop_links, self.delay_link]
        if self.world.sinks:
            kinds += [self.kill_sink, self.kill_sink]
        if self.world.postgres is not None:
            kinds += [self.restart_postgres]
        return kinds

    async def rage(self, seconds):
        """Faults for so long; some of them at the same time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        running = set()
        self.world.calm = False
        while loop.time() < end:
            running.add(asyncio.create_task(self._one(self.rng.choice(self.kinds()))))
            await asyncio.sleep(self.rng.uniform(0.2, 1.2))
        await asyncio.gather(*running)
        await self._one(self.kill_node_last)

    async def _one(self, kind):
        if await kind() is not False:
            name = kind.__name__.replace("_", " ")
            self.done += 1
            self.tally.count(f"fault: {name}")

    async def _hurt(self, those, act, undo=None, seconds=0.0):
        """One of `those` that is not hurt already."""
        free = [one for one in those if one not in self.busy]
        if not free:
            return False
        one = self.rng.choice(free)
        self.busy.add(one)
        try:
            await asyncio.to_thread(act, one)
            await asyncio.sleep(seconds)
            if undo is not None:
                await asyncio.to_thread(undo, one)
        finally:
            self.busy.discard(one)
        return True

    def _spare_node(self):
        """Two nodes at least are left alone."""
        hurt = [node for node in self.world.nodes if node in self.busy]
        return self.world.nodes if len(hurt) < len(self.world.nodes) - 2 else []

    async def kill_node(self):
        def act(node):
            self.world.harm(node)
            node.kill()
        return await self._hurt(self._spare_node(), act, self.world.revive, self.rng.uniform(0.1, 4))

    async def kill_node_last(self):
        """With no time to get over it before all must be well."""
        def act(node):
            self.world.harm(node)
            node.kill()
        return await self._hurt(self.world.nodes, act, self.world.revive)

    async def end_node(self):
        def act(node):
            self.world.harm(node)
            node.term()
        return await self._hurt(self._spare_node(), act, self.world.revive, self.rng.uniform(1, 2))

    async def stop_node(self):
        def act(node):
            self.world.harm(node)
            node.pause()
        return await self._hurt(self._spare_node(), act, lambda node: node.cont(), self.rng.uniform(0.2, 4))

    async def kill_sink(self):
        return await self._hurt(self.world.sinks, lambda sink: sink.kill(), self.world.revive, self.rng.uniform(0.1, 2))

    async def restart_postgres(self):
        return await self._hurt([self.world.postgres], lambda server: server.kill(), lambda server: server.start(),
                                self.rng.uniform(0.1, 3))

    async def pause_redis(self):
        return await self._hurt([self.world.redis], lambda redis: redis.signal(signal.SIGSTOP),
                                lambda redis: redis.cont(), self.rng.uniform(0.1, 4))

    async def restart_redis(self):
        return await self._hurt([self.world.redis], lambda redis: redis.kill(), lambda redis: redis.start(),
                                self.rng.uniform(0, 3))

    async def empty_redis(self):
        """Only when nothing waits there that is promised to last; a play may need a moment for that."""
        async with self.gentle:
            for play in self.world.plays:
                if not await getattr(play, "let_redis_be_emptied", _yes)():
                    return False
            done = await self._hurt([self.world.redis], lambda redis: redis.restart_empty())
            for play in self.world.plays:
                getattr(play, "redis_was_emptied", lambda: None)()
            return done

    async def cut_link(self):
        return await self._hurt(self.world.proxies, lambda proxy: proxy.cut(), lambda proxy: proxy.mend(),
                                self.rng.uniform(0.1, 4))

    async def freeze_link(self):
        return await self._hurt(self.world.proxies, lambda proxy: proxy.freeze(), lambda proxy: proxy.thaw(),
                                self.rng.uniform(0.1, 4))

    async def drop_links(self):
        return await self._hurt(self.world.proxies, lambda proxy: proxy.drop_links())

    async def delay_link(self):
        def act(proxy):
            proxy.delay = self.rng.uniform(0.01, 0.2)

        def undo(proxy):
            proxy.delay = 0.0
        return await self._hurt(self.world.proxies, act, undo, self.rng.uniform(0.5, 3))


async def _yes():
    return True

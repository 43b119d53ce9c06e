# SPDX-License-Identifier: MIT
"""Faults of a pair of Redis servers with sentinels. What one server had and the next one lacks is compared with what the
nodes say. Meanwhile no node is killed: what could bring it back would be gone, and so would the count."""

import asyncio
import contextlib
import json

from alone import Alone, until
from lib.redis import entries_of
from lib.waiting import Expired, wait_until
from pair import APART, NOWHERE
from patience import MOST

PROMOTED_WITHIN = 30.0
COUNTED_WITHIN = 10.0
KEPT = 10.0  # seconds for which a node can bring back what it wrote
COUNTED = "logs: what Redis lost is not what the nodes say"
WRITES_PAUSE = ("CLIENT", "PAUSE", "60000", "WRITE")


def counts(nodes):
    """Entries lost for good, calls brought back, as the nodes say; None when one does not answer."""
    try:
        metrics = [node.metrics() for node in nodes]
    except OSError:
        return None
    return tuple(int(sum(one[name] for one in metrics)) for name in
                 ("muster_stream_lost_total", "muster_stream_brought_back_total"))


def _call(key):
    """(node, number of its call) of an entry."""
    return key[0], int(key[1].split(".")[0])


def _ask_for_long(check):
    """Whether it comes to hold, however slow the machine is."""
    try:
        return wait_until(check, "it holds", COUNTED_WITHIN * MOST)
    except Expired:
        return False


class FailOvers(Alone):
    def __init__(self, storm, pair):
        super().__init__(storm, pair)
        self.pair = pair
        self.gone = []
        self.tally.promise(COUNTED)

    def kinds(self):
        often = [self.fail_over_planned, self.fail_over_forced, self.fail_over_with_a_joiner, self.fail_over_planned_lagging,
                 self.fail_over_forced_lagging, self.restore_older]
        return (often * 2 + [self.stop_master, self.restart_master, self.drop_a_client, self.restore_much_older, self.empty_pair]) * 2

    # --- who is left alone meanwhile

    @contextlib.asynccontextmanager
    async def master_alone(self):
        """Gives the master; None when it does not come to that soon."""
        async with self.nodes_left_alone() as pair:
            yield pair.master() if pair is not None else None

    # --- what is lost and brought back

    def _found_and_wanted(self, lacked, before):
        """(entries lost, calls brought back): as the nodes say, and the least and most as the new server has it."""
        master, now = self.pair.master(), counts(self.counted)
        if master is None or now is None:
            return None
        has = entries_of(master)
        self.gone = [key for key in lacked if key not in has]
        calls = {_call(key) for key in lacked if key in has}
        unsure = set(dict(sorted(map(_call, lacked))).items())  # each node's last: its answer may have been lost, too
        sure = sum(_call(key) not in unsure for key in self.gone)
        return (now[0] - before[0], now[1] - before[1]), ((sure, len(self.gone)), (len(calls - unsure), len(calls)))

    async def _account(self, lacked, before, epoch, exact=True):
        """`lacked`: what was taken by a server, and is not at the next one. Not `exact`: some of it was there after all. With
        another `epoch` than expected the sentinels made more of it than one fail-over."""
        seen = None

        def agree():
            nonlocal seen
            seen = self._found_and_wanted(lacked, before) or seen
            if seen is None:
                return False
            (lost, brought), (gone, calls) = seen
            return gone[0] <= lost <= gone[1] and (calls[0] if exact else 0) <= brought <= calls[1]
        asking = asyncio.create_task(asyncio.to_thread(_ask_for_long, agree))
        try:
            await self.world.until(lambda: asking.done() and asking.result(), "the counts agree", COUNTED_WITHIN)
        except Expired:
            if self.pair.epoch() == epoch:
                self.tally.broken(COUNTED, f"(entries lost, calls brought back): said and so: {seen}")
            else:
                self.tally.count("fail-overs amid others, whose losses were not compared")
        self.tally.count("entries that Redis lost for good", len(self.gone))
        self.tally.count("calls brought back to Redis", seen[0][1] if seen else 0)
        for key in self.gone:
            with contextlib.suppress(ValueError):
                self.world.lost_for_good.add(json.loads(lacked[key]).get("msg"))

    async def _replaced(self, old, planned, lag=0.0):
        """The replica takes over from `old`; true when all was counted."""
        new = self.pair.other(old)
        before, epoch = await asyncio.to_thread(counts, self.counted), self.pair.epoch()
        if before is None or epoch is None:
            return False
        if lag:
            new.command(*NOWHERE)
            await asyncio.sleep(lag)
        if planned:
            has = await asyncio.to_thread(entries_of, new)
            if not self.pair.begin_fail_over(self.rng):
                return False
        else:
            old.command(*WRITES_PAUSE)
            had = await asyncio.to_thread(entries_of, old)
            if not lag:
                await until(lambda: new.follows(old), "it has what the master has", 10)
            has = await asyncio.to_thread(entries_of, new)
            old.kill()
        try:
            await until(lambda: self.pair.master() is new, "it is promoted", PROMOTED_WITHIN)
        except Expired:
            self.tally.count("fail-overs that the sentinels gave up")
            await asyncio.to_thread(self.pair.settle)
            return False
        await self.nodes_are_there()
        await asyncio.sleep(self.rng.uniform(1, 3))  # those at the old master notice within a beat or two
        await self.nodes_are_there()
        if planned:
            had = await asyncio.to_thread(entries_of, old)
            if not old.is_master():
                return True  # it was made a replica, and what it had alone is gone
        else:
            await asyncio.to_thread(old.start)
        await self._account({key: value for key, value in had.items() if key not in has}, before, epoch + 1, not planned or lag > 0)
        return True

    # --- the faults

    async def fail_over_planned(self):
        async with self.master_alone() as master:
            return master is not None and await self._replaced(master, True)

    async def fail_over_forced(self):
        async with self.master_alone() as master:
            return master is not None and await self._replaced(master, False)

    async def fail_over_planned_lagging(self):
        async with self.master_alone() as master:
            return master is not None and await self._replaced(master, True, self.rng.uniform(0.3, 2.5))

    async def fail_over_forced_lagging(self):
        async with self.master_alone() as master:
            return master is not None and await self._replaced(master, False, self.rng.uniform(0.3, 2.5))

    async def fail_over_with_a_joiner(self):
        """A node starts while others may still hang on the old master."""
        async with self.master_alone() as master:
            if master is None:
                return False
            node = self.rng.choice(self.world.nodes)
            self.world.harm(node.name)
            try:
                await asyncio.to_thread(node.kill)
                await until(lambda: self.pair.other(master).follows(master), "the replica has all", 10)

                async def join():
                    await asyncio.sleep(self.rng.uniform(0, 1))
                    await asyncio.to_thread(self.world.revive, node)
                self.counted = [one for one in self.world.nodes if one is not node]
                joining = asyncio.create_task(join())
                try:
                    return await self._replaced(master, True)
                finally:
                    self.counted = self.world.nodes
                    await joining
                    await self.nodes_are_there()
            finally:
                self.world.harmed_no_more(node.name)

    async def stop_master(self):
        """For a moment, or for long enough that the other one takes over."""
        async with self.master_alone() as master:
            if master is None:
                return False
            master.pause()
            await asyncio.sleep(self.rng.uniform(0.2, 4))
            master.cont()
            await asyncio.to_thread(self.pair.settle)
            await self.nodes_are_there()
            return True

    async def restart_master(self):
        """So fast that the sentinels may not notice."""
        async with self.master_alone() as master:
            if master is None:
                return False
            await asyncio.to_thread(master.kill)
            await asyncio.to_thread(master.start)
            await asyncio.to_thread(self.pair.settle)
            await self.nodes_are_there()
            return True

    async def drop_a_client(self):
        """One connection of anybody, at the server."""
        async with self.turn:
            master = await asyncio.to_thread(self.pair.master)
            if master is None:
                return False
            lines = await asyncio.to_thread(master.ask, "CLIENT", "LIST")
            ids = [line.split()[0].removeprefix("id=") for line in lines if line.startswith("id=")]
            if not ids:
                return False  # an error, as while it loads its file
            master.command("CLIENT", "KILL", "ID", self.rng.choice(ids))
            return True

    async def _restored(self, age):
        """Both servers are gone; the file of some seconds ago is what there is, and the clock is another one."""
        async with self.master_alone() as master:
            if master is None:
                return False
            before, epoch = await asyncio.to_thread(counts, self.counted), self.pair.epoch()
            if before is None or epoch is None:
                return False
            await asyncio.to_thread(master.copy_file)
            await asyncio.sleep(age)
            master.command(*WRITES_PAUSE)
            had = await asyncio.to_thread(entries_of, master)
            self.pair.other(master).kill()
            master.kill()
            master.apart = self.rng.randint(-APART, APART)
            await asyncio.to_thread(master.restart_from_copy)
            await until(master.is_loaded, "it has loaded", 20)
            has = await asyncio.to_thread(master.entries_of_copy)
            await asyncio.to_thread(self.pair.settle)
            await self.nodes_are_there()
            await self._account({key: value for key, value in had.items() if key not in has}, before, epoch)
            return True

    async def restore_older(self):
        return await self._restored(self.rng.uniform(0.3, 3))

    async def restore_much_older(self):
        """Of what sinks had not stored, the oldest is lost for good, and counted."""
        stopped = [sink for sink in self.world.sinks if sink not in self.storm.busy]
        self.storm.busy.update(stopped)
        try:
            for sink in stopped:
                sink.pause()
            return await self._restored(KEPT + 2)
        finally:
            for sink in stopped:
                sink.cont()
                self.storm.busy.discard(sink)

    async def empty_pair(self):
        """Both lose all, when nothing waits there that is promised to last."""
        async with self.master_alone() as master:
            if master is None:
                return False
            return await self.storm.while_empty_is_fine(self._empty)

    async def _empty(self):
        master = self.pair.master()
        for server in (self.pair.other(master), master):
            server.kill()
        for server in (master, self.pair.other(master)):
            await asyncio.to_thread(server.restart_empty)
        await asyncio.to_thread(self.pair.settle)
        await self.nodes_are_there()
        return True

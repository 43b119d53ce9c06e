# SPDX-License-Identifier: MIT
"""A Redis Cluster: three masters, each with a replica, that keep what they hold over a restart, with clocks that are apart.
Its faults: slots that move, also the log stream's; masters that are killed, stand still or restart; servers that come and go."""

import asyncio
import random
import shutil

from alone import Alone, until
from lib.redis import Cluster, run_all
from lib.waiting import wait_until

APART = 30  # seconds between clocks, at most, either way
NODE_TIMEOUT_MS = 2000  # on a machine that is busy with all the rest
SETTLED_WITHIN = 60.0
PROMOTED_WITHIN = 40.0
STREAM = "muster:{*}:s"


class Slots:
    def __init__(self, folder, rng):
        coverage = rng.choice(("yes", "no"))  # whether a master that is away takes all with it
        clocks = random.Random(rng.random())
        self.cluster = Cluster(folder, options=(
            "--appendonly", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--cluster-require-full-coverage", coverage),
            apart=lambda: clocks.randint(-APART, APART))
        self.grown = None  # the server more

    @property
    def url(self):
        """Some of its servers: nodes find all by them."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers[:3])

    @property
    def servers(self):
        return self.cluster.members

    @property
    def masters(self):
        """How many links a node has."""
        return self.cluster.count

    def start(self):
        self.cluster.start()
        self.settle()

    def stop(self):
        self.cluster.stop()

    def settle(self):
        """All run and agree on who has which slots; every replica has what its master has."""
        run_all(self.servers)
        self.cluster.settled()
        wait_until(self._in_step, "replicas follow", SETTLED_WITHIN)

    def _in_step(self):
        return len(self.pairs()) == 3 and all(replica.follows(master) for master, replica in self.pairs())

    def pairs(self):
        """Each master that has a replica, with it."""
        ports = {server.port: server for server in self.cluster.alive()}
        roles = [(server, server.ask("ROLE")) for server in ports.values()]
        return [(ports[int(role[2])], server) for server, role in roles if role[0] == "slave" and int(role[2]) in ports]

    def slot_of_stream(self):
        """(the master that has the log stream, its slot); None while there is none."""
        for master in self.cluster.masters():
            for key in master.keys(STREAM):
                return master, int(master.ask("CLUSTER", "KEYSLOT", key)[0])
        return None

    def grow(self):
        self.grown = self.cluster.add()
        self.cluster.hand_over(self.cluster.masters()[0], self.grown, 0.1)
        self.cluster.count += 1

    def shrink(self):
        gone, self.grown = self.grown, None
        target = next(master for master in self.cluster.masters() if master is not gone)
        self.cluster.hand_over(gone, target)
        self.cluster.count -= 1
        self.cluster.settled()
        self.cluster.remove(gone)


class Moves(Alone):
    def kinds(self):
        often = [self.kill_master, self.fail_over_planned, self.move_slots, self.move_the_stream, self.server_more_or_less]
        return often * 2 + [self.stop_server, self.restart_server, self.empty_one]

    async def _pairs(self):
        return await asyncio.to_thread(self.place.pairs)

    async def _settled(self):
        await asyncio.to_thread(self.place.settle)
        await self.nodes_are_there()
        return True

    async def _in_turn(self, act):
        """While nodes come to harm as they may: what is moved, is not lost."""
        if self.turn.locked():
            return False
        async with self.turn:
            await asyncio.to_thread(self.place.settle)
            done = await asyncio.to_thread(act)
            await asyncio.to_thread(self.place.settle)
            return done

    # --- slots that move

    async def move_slots(self):
        def act():
            source, target = self.rng.sample(self.place.cluster.masters(), 2)
            self.place.cluster.hand_over(source, target, self.rng.uniform(0.02, 0.25))
            return True
        return await self._in_turn(act)

    async def move_the_stream(self):
        def act():
            found = self.place.slot_of_stream()
            if found is None:
                return False
            source, slot = found
            self.place.cluster.migrate(source, self.rng.choice([one for one in self.place.cluster.masters() if one is not source]), slot)
            return True
        return await self._in_turn(act)

    async def server_more_or_less(self):
        def act():
            if self.place.grown is None:
                self.place.grow()
                return "one more"
            self.place.shrink()
            return "one less"
        return await self._in_turn(act)

    # --- masters that go

    async def kill_master(self):
        """Its replica has what it has, and takes over; it comes back as a replica."""
        async with self.nodes_left_alone() as place:
            if place is None:
                return False
            old, new = self.rng.choice(await self._pairs())
            await asyncio.to_thread(old.kill)
            await until(new.is_master, "the replica is promoted", PROMOTED_WITHIN)
            await asyncio.sleep(self.rng.uniform(0, 2))
            return await self._settled()

    async def fail_over_planned(self):
        async def act():
            old, new = self.rng.choice(await self._pairs())
            if new.ask("CLUSTER", "FAILOVER") != ["OK"]:
                return False
            await until(lambda: new.is_master() and not old.is_master(), "they have changed roles", PROMOTED_WITHIN)
            return True
        if self.turn.locked():
            return False
        async with self.turn:
            await asyncio.to_thread(self.place.settle)
            return await act() and await asyncio.to_thread(self.place.settle) is None

    async def stop_server(self):
        """For a moment, or for long enough that another one takes over."""
        async with self.nodes_left_alone() as place:
            if place is None:
                return False
            server = self.rng.choice(place.servers)
            server.pause()
            await asyncio.sleep(self.rng.uniform(0.2, 6))
            server.cont()
            return await self._settled()

    async def restart_server(self):
        """So fast that the others may not notice."""
        async with self.nodes_left_alone() as place:
            if place is None:
                return False
            server = self.rng.choice(place.servers)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            return await self._settled()

    async def empty_one(self):
        """A master and its replica lose their data; slots stay where they are."""
        return await self.storm.while_empty_is_fine(self._empty)

    async def _empty(self):
        async with self.nodes_left_alone() as place:
            if place is None:
                return False
            master, replica = self.rng.choice(await self._pairs())
            for server in (replica, master):
                server.kill()
                shutil.rmtree(server.folder / "appendonlydir", ignore_errors=True)
            for server in (master, replica):
                await asyncio.to_thread(server.start)
            return await self._settled()

# SPDX-License-Identifier: MIT
"""A master, its replica and three sentinels: servers that keep what they hold and which role they had over a restart,
with clocks that are apart."""

import shutil

from lib.redis import KeptRedis, Sentinel, entries_of, run_all
from lib.waiting import wait_until

SETTLED_WITHIN = 60.0  # seconds: an election that fails is tried again after three
DOWN_AFTER_MS = 1500  # on a machine that is busy with all the rest
APART = 30  # seconds between clocks, at most, either way
NOWHERE = ("REPLICAOF", "127.0.0.1", "1")


class Member(KeptRedis):
    """One of the two. Sentinels have it write its role into its configuration."""

    def __init__(self, name, folder, apart):
        super().__init__(name, folder / name, apart=apart)
        self.config = self.folder / "redis.conf"
        self.master_port = None

    def command_line(self):
        if not self.config.exists():
            lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}", "appendonly yes", 'save ""',
                     "repl-diskless-sync-delay 0", *self.options]
            if self.master_port is not None:
                lines.append(f"replicaof 127.0.0.1 {self.master_port}")
            self.config.write_text("\n".join(lines) + "\n")
        return ["redis-server", str(self.config)]

    def entries_of_copy(self):
        """What the copy of the file has of the log stream, by a server of its own: nodes write to this one already."""
        reader = KeptRedis(f"{self.name}-reader", self.folder / "reader")
        shutil.copytree(self.folder / "copy", reader.folder / "appendonlydir")
        try:
            reader.start()
            wait_until(reader.is_loaded, "the copy is loaded")
            return entries_of(reader)
        finally:
            reader.kill()
            shutil.rmtree(reader.folder)


class Pair:
    masters = 1  # links of a node

    def __init__(self, folder, rng):
        self.servers = [Member(f"redis{i}", folder, rng.randint(-APART, APART)) for i in range(2)]
        self.servers[1].master_port = self.servers[0].port
        self.sentinels = [Sentinel(f"sentinel{i}", folder, self.servers[0], 2,
                                   f"sentinel down-after-milliseconds {Sentinel.NAME} {DOWN_AFTER_MS}",
                                   f"sentinel failover-timeout {Sentinel.NAME} 2000") for i in range(3)]

    @property
    def url(self):
        return Sentinel.url_of(self.sentinels)

    def start(self):
        for server in self.servers:
            server.start()
        for sentinel in self.sentinels:
            sentinel.start()
        wait_until(lambda: all(sentinel.sees_all() for sentinel in self.sentinels), "the sentinels know all")
        self.settle()

    def stop(self):
        for process in [*self.sentinels, *self.servers]:
            process.stop()

    def named(self):
        """The server that all sentinels name; None when they do not agree."""
        ports = {int(sentinel.ask("SENTINEL", "get-master-addr-by-name", Sentinel.NAME)[1]) for sentinel in self.sentinels}
        return next((server for server in self.servers if ports == {server.port}), None)

    def master(self):
        """The server that all name and that is a master; None while there is none."""
        named = self.named()
        return named if named is not None and named.alive() and named.is_master() else None

    def epoch(self):
        """Grows with each fail-over; None while the sentinels do not agree."""
        said = {fields[fields.index("config-epoch") + 1] for fields in
                (sentinel.ask("SENTINEL", "MASTER", Sentinel.NAME) for sentinel in self.sentinels)}
        return int(said.pop()) if len(said) == 1 else None

    def other(self, server):
        return self.servers[1 - self.servers.index(server)]

    def settle(self):
        """Both run; one is the master, the other has all that it has, and a fail-over could begin."""
        run_all(self.servers)
        wait_until(self.master, "the sentinels name a master", SETTLED_WITHIN)
        wait_until(self._follows, "the replica follows", SETTLED_WITHIN)

    def _follows(self):
        """A server that does not follow is told to: a sentinel would do so after ten seconds."""
        master = self.master()
        if master is None:
            return False
        replica = self.other(master)
        if f"master_port:{master.port}\r\n".encode() not in replica.command("INFO", "replication"):
            replica.command("REPLICAOF", "127.0.0.1", str(master.port))
        return replica.follows(master)

    def begin_fail_over(self, rng):
        """A planned one. False when the sentinels do not want it now."""
        return rng.choice(self.sentinels).command("SENTINEL", "FAILOVER", Sentinel.NAME).startswith(b"+OK")

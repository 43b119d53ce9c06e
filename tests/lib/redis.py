# SPDX-License-Identifier: MIT
"""Redis servers and sentinels."""

import atexit
import binascii
import functools
import math
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

from lib.ports import free_port
from lib.process import ROOT, Process
from lib.store import TAGS
from lib.waiting import wait_until


@functools.cache
def clock_library():
    """preload/clock_apart.c, made when first asked for."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="muster-clock-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user
    atexit.register(shutil.rmtree, folder, True)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", folder / "clock_apart.so",
                    ROOT / "tests/integration/preload/clock_apart.c"], check=True)
    return folder / "clock_apart.so"


def with_clock(apart):
    """The environment of a server whose clock is so many seconds ahead; None: the test's own."""
    if not apart:
        return None
    return {**os.environ, "LD_PRELOAD": str(clock_library()), "CLOCK_APART_MS": str(int(apart * 1000))}


def entries_of(server, prefix="muster"):
    """What the server has of the log stream, whichever partition it lies in: (writer, "call.index") to the payload."""
    found = {}
    for key in server.keys(f"{prefix}:{{*}}:s:[0-9]"):
        lines = server.ask("XRANGE", key, "-", "+")
        for i in range(0, len(lines) - 4, 5):  # id, tag, payload, writer, call.index
            found[lines[i + 3], lines[i + 4]] = lines[i + 2]
    return found


def slot_of(tag):
    """Of all keys with that hash tag, in a cluster."""
    return binascii.crc_hqx(tag.encode(), 0) % 16384


def in_resp(words):
    """A command as Redis reads it."""
    data = [word if isinstance(word, bytes) else word.encode() for word in words]
    return b"*%d\r\n" % len(data) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in data)


def lines_of(answer):
    """The next answer of a server, read from a file."""
    head = answer.readline()
    if not head.endswith(b"\r\n"):
        raise ConnectionError("the server has gone")
    kind, text = head[:1], head[1:-2].decode()
    if kind == b"*":
        return [line for _ in range(int(text)) for line in lines_of(answer)]
    if kind != b"$":
        return [text]
    if text == "-1":
        return [""]
    return answer.read(int(text) + 2)[:-2].decode(errors="replace").split("\n")


AT_ONCE = ("--repl-diskless-sync-delay", "0")  # a replica is not kept waiting for others that might come (5 s)


class Redis(Process):
    """One redis-server without persistence: what starts again is empty. `options` are its own, beside
    those that make it a test's; its clock is `apart` seconds ahead."""

    family = "redis"  # or valkey

    def __init__(self, name, folder, *options, apart=0):
        super().__init__(name, folder)
        self.port = free_port()
        self.options = options
        self.apart = apart

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self):
        self.launch(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                     "--appendonly", "no", "--dir", str(self.folder), *AT_ONCE, *self.options], with_clock(self.apart))
        wait_until(self.answers, f"{self.name} answers PING")
        return self

    def ask(self, *words):
        """One command: the lines of its answer as redis-cli would print them."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as link, link.makefile("rb") as answer:
            link.sendall(in_resp(words))
            return lines_of(answer)

    def keys(self, pattern):
        """Those that it has, some of them twice maybe."""
        cursor, found = "0", []
        while True:
            cursor, *some = self.ask("SCAN", cursor, "MATCH", pattern, "COUNT", "1000")
            found += some
            if cursor == "0":
                return found

    def is_master(self):
        try:
            return self.command("ROLE").startswith(b"*3\r\n$6\r\nmaster")
        except OSError:  # sentinels cut all its clients off when they promote it
            return False

    def follows(self, master):
        """It is a replica that has all."""
        def offset(server):
            lines = server.command("INFO", "replication").split(b"\r\n")
            return next(line for line in lines if line.startswith(b"master_repl_offset"))
        try:
            return b"master_link_status:up" in self.command("INFO", "replication") and offset(self) == offset(master)
        except (OSError, StopIteration):
            return False

    def answers(self):
        assert self.alive(), f"{self.name} ended:\n{self.log_tail()}"
        try:
            return self.command("PING").startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def command(self, *words):
        """Sends one command, returns the raw start of its answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as link:
            link.sendall(in_resp(words))
            return link.recv(65536)

    def is_loaded(self):
        return self.answers() and b"loading:0" in self.command("INFO", "persistence")

    def restart_empty(self):
        self.kill()
        return self.start()

    def stop(self):
        if self.popen is not None and self.alive():
            self.cont()
            self.kill()


class TlsRedis(Redis):
    """Serves TLS on `tls_port`, and what the test itself has to ask without."""

    def __init__(self, name, folder, certificates, own="server", clients=False):
        self.tls_port = free_port()
        super().__init__(name, folder, "--tls-port", str(self.tls_port),
                         "--tls-ca-cert-file", str(certificates / "ca.pem"),
                         "--tls-cert-file", str(certificates / f"{own}.pem"),
                         "--tls-key-file", str(certificates / f"{own}.key"),
                         "--tls-auth-clients", "yes" if clients else "no")

    @property
    def url(self):
        return f"rediss://127.0.0.1:{self.tls_port}"


class Sentinel(Redis):
    """One sentinel that watches `master` under the name "fleet"."""

    NAME = "fleet"

    def __init__(self, name, folder, master, quorum, *directives):
        super().__init__(name, folder)
        self.config = self.folder / f"{name}.conf"
        self.config.write_text("\n".join([
            f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}",
            f"sentinel monitor {self.NAME} 127.0.0.1 {master.port} {quorum}",
            f"sentinel down-after-milliseconds {self.NAME} 500",
            f"sentinel failover-timeout {self.NAME} 4000",
            *directives, ""]))

    def start(self):
        self.launch(["redis-server", str(self.config), "--sentinel"])
        wait_until(self.answers, f"{self.name} answers PING")
        return self

    @classmethod
    def url_of(cls, sentinels):
        """The URL by which nodes ask them."""
        return f"redis+sentinel://{','.join(sentinel.address for sentinel in sentinels)}/{cls.NAME}"

    def sees_all(self):
        """It knows enough sentinels and a replica: a fail-over can succeed."""
        return (self.command("SENTINEL", "CKQUORUM", self.NAME).startswith(b"+OK")
                and self.command("SENTINEL", "REPLICAS", self.NAME).startswith(b"*1"))


class KeptRedis(Redis):
    """Keeps what it holds over a SIGKILL, as an append-only file does."""

    def command_line(self):
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
                "--dir", str(self.folder), *AT_ONCE, *self.options]

    def start(self, *_):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.launch(self.command_line(), with_clock(self.apart))
        wait_until(self.answers, f"{self.name} answers PING")
        return self

    def copy_file(self):
        """The append-only file as it is now, put aside: a backup, or what the disk has when the power goes."""
        shutil.rmtree(self.folder / "copy", ignore_errors=True)
        shutil.copytree(self.folder / "appendonlydir", self.folder / "copy")

    def restart_from_copy(self):
        self.kill()
        shutil.rmtree(self.folder / "appendonlydir")
        shutil.copytree(self.folder / "copy", self.folder / "appendonlydir")
        return self.start()

    def restart_empty(self):
        self.kill()
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)
        (self.folder / "appendonly.aof").unlink(missing_ok=True)
        self.start()


class Member(Redis):
    """One server of a cluster. `lines` are of its configuration."""

    def __init__(self, name, folder, *options, lines=(), apart=0):
        self.bus = free_port()
        (folder / name).mkdir(parents=True, exist_ok=True)
        self.config = folder / name / "redis.conf"
        self.config.write_text("".join(f"{line}\n" for line in lines))
        super().__init__(name, folder, "--cluster-enabled", "yes", "--cluster-port", str(self.bus), "--cluster-node-timeout", "1000",
                         "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0", *options, apart=apart)
        self.folder = folder / name

    def start(self):
        self.launch([f"{self.family}-server", str(self.config), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                     "--dir", str(self.folder), *self.options], with_clock(self.apart))
        wait_until(self.answers, f"{self.name} answers PING")
        return self

    @property
    def id(self):
        return self.ask("CLUSTER", "MYID")[0]

    def slots(self):
        """The slots that it has, as it sees them."""
        for line in self.ask("CLUSTER", "NODES"):
            words = line.split()
            if "myself" in words[2]:
                ranges = [word.split("-") for word in words[8:] if not word.startswith("[")]
                return [slot for ends in ranges for slot in range(int(ends[0]), int(ends[-1]) + 1)]
        return []

    def view(self):
        """What it says of each server that it knows: of which it is the replica, and its slots."""
        told = [line.split() for line in self.ask("CLUSTER", "NODES") if line]
        return frozenset((words[0], words[3], *words[8:]) for words in told)

    def serve_tls(self, certificates):
        """On a port of its own, beside the one at which tests ask."""
        self.tls_port = free_port()
        self.options += ("--tls-port", str(self.tls_port), "--tls-cluster", "yes", "--tls-replication", "yes", "--tls-auth-clients", "no",
                         "--tls-ca-cert-file", str(certificates / "ca.pem"), "--tls-cert-file", str(certificates / "server.pem"),
                         "--tls-key-file", str(certificates / "server.key"))

    def keys_in(self, slot):
        """Some keys of that slot, with whatever bytes they have."""
        rest, keys = self.command("CLUSTER", "GETKEYSINSLOT", str(slot), "10").partition(b"\r\n")[2], []
        while rest:
            length, _, rest = rest[1:].partition(b"\r\n")
            keys.append(rest[:int(length)])
            rest = rest[int(length) + 2:]
        return keys

    def sees(self, masters):
        """All slots are served by so many masters, and nothing is under way."""
        info = self.ask("CLUSTER", "INFO")
        return "cluster_state:ok" in [line.strip() for line in info] and f"cluster_size:{masters}" in [line.strip() for line in info]


class Tap:
    """Hears what one server passes on over `channels`, which are of one slot."""

    def __init__(self, server, channels):
        self.link = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        self.bytes = self.link.makefile("rb")
        self.link.sendall(" ".join(["SSUBSCRIBE", *channels]).encode() + b"\r\n")
        for _ in channels:
            assert self._next()[0] == b"ssubscribe"

    def _next(self):
        return [self._part() for _ in range(int(self.bytes.readline()[1:]))]

    def _part(self):
        head = self.bytes.readline()
        return self.bytes.read(int(head[1:]) + 2)[:-2] if head.startswith(b"$") else head[1:-2]

    def taken(self):
        """(channel, bytes) of each message so far."""
        self.link.sendall(b"PING\r\n")
        found = []
        while (parts := self._next())[0] != b"pong":
            found.append((parts[1], parts[2]))
        return found

    def close(self):
        self.bytes.close()
        self.link.close()


class Cluster:
    """A Redis Cluster of three masters, a replica for each, as redis-cli makes it. `add` makes more servers. Without `slots`
    its channels belong to no slot, as before Redis 7. `lines` are of each server's configuration; with `certificates` (a
    folder) nodes speak TLS to them, as they do to each other. `apart`: by how much each next server's clock is ahead. `family`: redis, valkey."""

    def __init__(self, folder, masters=3, replicas=1, options=(), slots=True, lines=(), certificates=None, apart=lambda: 0,
                 family="redis"):
        self.folder, self.options, self.apart, self.family = folder, options, apart, family
        self.lines = [*lines, *(() if slots else ("rename-command SSUBSCRIBE ''", "rename-command SPUBLISH ''"))]
        self.certificates = certificates
        self.members = []
        self.made = 0
        self.count, self.replicas = masters, replicas
        for _ in range(masters * (1 + replicas)):
            self.make()

    def make(self):
        member = Member(f"member{self.made}", self.folder, *self.options, lines=self.lines, apart=self.apart())
        member.family = self.family
        if self.certificates is not None:
            member.serve_tls(self.certificates)
        self.made += 1
        self.members.append(member)
        return member

    def cli(self, *words, check=True):
        tls = ["--tls", "--cacert", self.certificates / "ca.pem"] if self.certificates is not None else []
        done = subprocess.run([f"{self.family}-cli", *tls, "--cluster", *words], capture_output=True, text=True, timeout=120, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self):
        places = [self.place(member.start()) for member in self.members]
        if self.count < 3:
            self._join_by_hand()
        else:
            self.cli("create", *places, "--cluster-replicas", str(self.replicas), "--cluster-yes")
        self.settled()
        return self

    def _join_by_hand(self):
        """Fewer masters than redis-cli makes."""
        for number, member in enumerate(self.members):
            ends = [str(at * 16384 // self.count) for at in (number, number + 1)]
            member.ask("CLUSTER", "ADDSLOTSRANGE", ends[0], str(int(ends[1]) - 1))
            member.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
        for member in self.members[1:]:
            self.members[0].ask("CLUSTER", "MEET", "127.0.0.1", str(member.port), str(member.bus))

    @property
    def url(self):
        return self.url_of("")

    def url_of(self, login):
        """`login`: "user:password@"."""
        scheme = "redis" if self.certificates is None else "rediss"
        return f"{scheme}+cluster://{login}" + ",".join(map(self.place, self.members))

    def place(self, member):
        """Where servers, nodes and redis-cli reach it."""
        return f"127.0.0.1:{member.port if self.certificates is None else member.tls_port}"

    def alive(self):
        return [member for member in self.members if member.popen is not None and member.alive()]

    def masters(self):
        return [member for member in self.alive() if member.is_master() and member.slots()]

    def settled(self, masters=None):
        """All live servers agree on who has the slots, and replicas follow."""
        count = masters or self.count
        wait_until(lambda: all(member.sees(count) for member in self.alive()), f"the cluster has {count} masters with slots", 60)
        self.agreed()

    def agreed(self):
        """They say the same of all slots, and of who is whose replica; a move before that is refused by redis-cli."""
        wait_until(lambda: len({member.view() for member in self.alive()}) == 1, "the servers agree", 60)

    def reshard(self, source, target, slots):
        self.agreed()
        self.cli("reshard", self.place(target), "--cluster-from", source.id, "--cluster-to", target.id,
                 "--cluster-slots", str(slots), "--cluster-yes", "--cluster-timeout", "10000")

    def migrate(self, source, target, *slots):
        """Slots, one after the other, as redis-cli moves them."""
        ids = {server: server.id for server in (source, target)}
        told = [target, source, *(server for server in self.masters() if server not in ids)]

        def set_slot(server, slot, verb, other):
            said = server.command("CLUSTER", "SETSLOT", str(slot), verb, ids[other])
            # With its last slot a master becomes a replica, which is told nothing.
            assert said == b"+OK\r\n" or (verb == "NODE" and b"only with masters" in said), said
        for slot in slots:
            set_slot(target, slot, "IMPORTING", source)
            set_slot(source, slot, "MIGRATING", target)
            while keys := source.keys_in(slot):
                moved = source.command("MIGRATE", *self.place(target).split(":"), "", "0", "5000", "KEYS", *keys)
                assert moved.startswith((b"+OK", b"+NOKEY")), moved
            for server in told:
                set_slot(server, slot, "NODE", target)

    def hand_over(self, source, target, share=1.0):
        """The slots of that share of the partitions that `source` has. In the thousands of slots between them there is
        nothing: reshard() moves these, too, for most of its time."""
        self.agreed()
        slots = sorted(set(map(slot_of, TAGS)) & set(source.slots()))
        self.migrate(source, target, *slots[:math.ceil(len(slots) * share)])

    def remove(self, member):
        """A server that has no slots is forgotten by the others, and ends."""
        others = [one for one in self.alive() if one is not member]
        self.cli("del-node", self.place(others[0]), member.id)
        self.members.remove(member)
        member.stop()

    def add(self):
        """A new master without slots."""
        first, new = self.alive()[0], self.make().start()
        self.cli("add-node", self.place(new), self.place(first))
        wait_until(lambda: all(new.id in "".join(member.ask("CLUSTER", "NODES")) for member in self.alive()) and
                   "cluster_state:ok" in "".join(new.ask("CLUSTER", "INFO")), "all know the new server")
        return new

    def stop(self):
        for member in self.members:
            member.stop()


def run_all(servers):
    """Whatever was done to them: each runs, and has what it kept."""
    for server in servers:
        if server.alive():
            server.cont()
        else:
            server.start()
    for server in servers:
        wait_until(server.is_loaded, f"{server.name} has loaded")

# SPDX-License-Identifier: MIT
"""What the cases share: the processes that are measured, the load generator, figures, progress."""
import contextlib
import json
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile

from lib.node import Node
from lib.ports import free_port
from lib.process import Process, clean_env
from lib.redis import Redis
from lib.waiting import wait_until

LOAD_LIMIT = 150


class BenchError(AssertionError):
    """The bench itself cannot go on: something did not start, or delivered wrongly."""


def accepts(server):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 1):
        return True
    return False


def echoes(server):
    """A server of datagrams that sends each back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.settimeout(0.1)
        probe.connect(("127.0.0.1", server.port))
        probe.send(b"x")
        return probe.recv(8) == b"x"
    return False


def sample(node, name):
    """A metric, or 0 while the node does not answer yet."""
    try:
        return node.metrics()[name]
    except OSError:
        return 0


class Bench:
    """What a case gets: where the programs are, how long to measure, and servers to start."""

    def __init__(self, options, progress):
        self.muster, self.tools = options.muster, options.tools
        self.quick, self.progress = options.quick, progress
        self.rows = options.rows
        self.options = options  # those that one case alone has
        self.rounds = options.rounds or (3 if options.quick else 5)
        self.seconds = 1.0 if options.quick else 3.0
        self.warm_up = 0.5 if options.quick else 1.0
        self.folder = tempfile.mkdtemp(prefix="muster-bench-")
        self.settings = dict(pair.split("=", 1) for pair in options.set)
        self.started = 0

    def _name(self, what):
        self.started += 1
        return f"{what}-{self.started}"

    @contextlib.contextmanager
    def node(self, store="memory:", **settings):
        """A muster node, ready; nothing but what the case measures is switched on."""
        node = Node(self._name("muster"), self.folder, store=store, **{"log_level": "warn", **settings, **self.settings})
        with self.running(node) as node:
            yield node.ready()

    def migrate(self, uri):
        """Gives the database its tables."""
        done = subprocess.run([self.muster, "migrate", "--postgres", uri], env=clean_env(), capture_output=True, text=True)
        if done.returncode != 0:
            raise BenchError(f"migrate: {done.stderr.strip()}")

    @contextlib.contextmanager
    def floor(self, program="bench_floor", is_ready=accepts):
        """A program of this folder that does the same work with nothing around it."""
        floor = Process(self._name("floor"), self.folder)
        floor.port = free_port()
        with self.running(floor, os.path.join(self.tools, program), floor.address):
            wait_until(lambda: floor.check() or is_ready(floor), f"{floor.name} is ready")
            yield floor

    def place(self, what):
        """A folder for a server of several."""
        path = pathlib.Path(self.folder, self._name(what))
        path.mkdir()
        return path

    def redis(self):
        return self.running(Redis(self._name("redis"), self.folder))

    @staticmethod
    @contextlib.contextmanager
    def running(process, *command):
        """`process`, started, by that command where it has no start() of its own, and killed afterwards."""
        try:
            if command:
                process.launch(command, clean_env())
            else:
                process.start()
            yield process
            process.check()
        finally:
            process.kill()

    def load_argv(self, mode, settings):
        argv = [os.path.join(self.tools, "bench_load"), mode]
        for name, value in settings.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                argv += [f"--{name.replace('_', '-')}", str(one)]
        return argv

    def load(self, mode, **settings):
        """Runs bench_load to its end; returns what it measured."""
        settings.setdefault("seconds", self.seconds)
        settings.setdefault("warm_up", self.warm_up)
        settings.setdefault("limit", LOAD_LIMIT)
        done = subprocess.run(self.load_argv(mode, settings), capture_output=True, text=True)
        if done.returncode != 0:
            raise BenchError(f"bench_load {mode}: {done.stderr.strip()}")
        return json.loads(done.stdout.splitlines()[-1])

    @contextlib.contextmanager
    def held_load(self, mode, **settings):
        """bench_load in a mode that says `ready` and holds until its input ends."""
        process = subprocess.Popen(self.load_argv(mode, settings), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            if process.stdout.readline().strip() != "ready":
                raise BenchError(f"bench_load {mode}: {process.communicate()[1].strip()}")
            yield process
            _, errors = process.communicate(timeout=30)
            if process.returncode != 0:
                raise BenchError(f"bench_load {mode}: {errors.strip()}")
        finally:
            process.kill()
            process.wait()


class Result:
    """A row of the table: what was measured, and the bar it was to stay at or under; None: it is only told."""

    def __init__(self, work, bar, value, unit="", note="", at_least=False):
        self.work, self.bar, self.value, self.unit, self.note = work, bar, value, unit, note
        self.at_least = at_least

    @property
    def reached(self):
        if self.bar is None:
            return True
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def goal(self):
        return "" if self.bar is None else f"{self.bar:g}{self.unit} or {'more' if self.at_least else 'less'}"

    def verdict(self):
        seen = f"{self.value:.2f}" if self.value < 100 else f"{self.value:,.0f}"
        if self.bar is None:
            return f"{seen}{self.unit}"
        word = "reached" if self.reached else "not reached"
        return f"{word}: {seen} of {self.bar:g}{self.unit}"


def median(values):
    return statistics.median(values)


def rounds(bench, name, sides):
    """Runs the sides in turn, A B A B ..., and returns the answers of each; `sides` are pairs of a
    name and a function that returns what to remember and a text to show."""
    kept = [[] for _ in sides]
    for n in range(bench.rounds):
        for at, (side, run) in enumerate(sides):
            answer, text = run()
            kept[at].append(answer)
            bench.progress.step(f"{name}: round {n + 1} of {bench.rounds}, {side}: {text}")
    return kept

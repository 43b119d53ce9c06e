# SPDX-License-Identifier: MIT
"""A Muster node with default settings, and the floor: the least that a fan-out over WebSocket can be."""
import os
import pathlib

from lib.node import Node
from lib.process import Process, clean_env

from .peer import Peer, run


class Muster(Peer):
    name, dialect = "Muster", "muster"

    def install(self, shelf):
        self.program = Node.binary

    def version(self):
        return run([self.program, "--version"], "muster --version").split()[-1]

    def files(self):
        return [self.program]

    def server(self, bench, redis=None, number=0, ports=()):
        return Node(f"muster-{number}-{ports[number]}", bench.folder, store=f"redis://{redis.address}" if redis else "memory:", log_level="warn",
                    **bench.settings)

    @staticmethod
    def is_ready(server):
        return server.is_ready()


class FloorServer(Process):
    def __init__(self, name, folder, program, port):
        super().__init__(name, folder)
        self.program, self.port = program, port

    def start(self):
        self.launch([self.program, self.address], clean_env())
        return self


class Floor(Peer):
    """No groups, nothing is joined: all that is heard goes to all."""

    name, dialect, fleet = "the floor", "floor", False

    def install(self, shelf):
        self.program = None

    def version(self):
        return "tests/bench/floor"

    def files(self):
        return [self.program] if self.program else []

    def server(self, bench, redis=None, number=0, ports=()):
        self.program = pathlib.Path(os.path.join(bench.tools, "bench_floor"))
        return FloorServer(f"floor-{ports[number]}", bench.folder, self.program, ports[number])

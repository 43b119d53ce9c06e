# SPDX-License-Identifier: MIT
"""NATS server: a Go module. Its defaults, over TCP, its first transport; several are one service without Redis: a cluster."""
import re

from lib.ports import free_port

from .peer import Peer, Server, go_program, run

MODULE = "github.com/nats-io/nats-server/v2"


class Nats(Peer):
    name, dialect, redis = "NATS", "nats", False
    routes = {}  # port for clients to port for the others of the cluster

    def install(self, shelf):
        self.program = go_program(shelf, MODULE, "nats-server")

    def version(self):
        return re.search(r"\d+\.\d+\.\d+", run([self.program, "--version"], "nats-server --version"))[0]

    def files(self):
        return [self.program]

    def server(self, bench, redis=None, number=0, ports=()):
        command = [self.program, "-a", "127.0.0.1", "-p", ports[number]]
        if len(ports) > 1:
            for port in ports:
                self.routes.setdefault(port, free_port())
            others = ",".join(f"nats://127.0.0.1:{self.routes[port]}" for port in ports if port != ports[number])
            command += ["--cluster_name", "bench", "--cluster", f"nats://127.0.0.1:{self.routes[ports[number]]}", "--routes", others]
        return Server(f"nats-{ports[number]}", bench.folder, command, ports[number])

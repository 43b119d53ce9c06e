# SPDX-License-Identifier: MIT
"""ws: from npm, with the native add-on that its README advises; a server of thirty lines, since it has no groups of its own.
Between nodes ioredis, a channel for each group, auto-pipelined as its README advises."""
import pathlib
import shutil

from .peer import Peer, Server, npm_modules, npm_version, run

PACKAGES = "ws", "ioredis", "bufferutil"
SCRIPT = pathlib.Path(__file__).with_name("ws.cjs")


class Ws(Peer):
    name, dialect = "ws", "ws"

    def install(self, shelf):
        self.modules = npm_modules(shelf, "ws", *PACKAGES)

    def version(self):
        node = run(["node", "--version"], "node --version").strip()
        return f"{npm_version(self.modules, 'ws')}, ioredis {npm_version(self.modules, 'ioredis')}, Node.js {node}"

    def files(self):
        return [shutil.which("node"), self.modules]

    def server(self, bench, redis=None, number=0, ports=()):
        port = ports[number]
        command = [shutil.which("node"), SCRIPT, port] + ([redis.port] if redis else [])
        return Server(f"ws-{port}", bench.folder, command, port, {"NODE_PATH": str(self.modules), "NODE_ENV": "production"})

# SPDX-License-Identifier: MIT
"""Socket.IO: from npm. As its documentation's page on performance advises: the native add-ons of ws, no kept first request.
Between nodes the sharded Redis adapter, which it recommends from Redis 7 on."""
import pathlib
import shutil

from .peer import Peer, Server, npm_modules, npm_version, run

PACKAGES = "socket.io", "@socket.io/redis-adapter", "redis", "bufferutil", "utf-8-validate"
SCRIPT = pathlib.Path(__file__).with_name("socketio.cjs")


class SocketIo(Peer):
    name, dialect = "Socket.IO", "socketio"

    def install(self, shelf):
        self.modules = npm_modules(shelf, "socketio", *PACKAGES)

    def version(self):
        node = run(["node", "--version"], "node --version").strip()
        return (f"{npm_version(self.modules, 'socket.io')}, adapter {npm_version(self.modules, '@socket.io/redis-adapter')}, "
                f"redis {npm_version(self.modules, 'redis')}, Node.js {node}")

    def files(self):
        return [shutil.which("node"), self.modules]

    def server(self, bench, redis=None, number=0, ports=()):
        port = ports[number]
        command = [shutil.which("node"), SCRIPT, port] + ([redis.port] if redis else [])
        return Server(f"socketio-{port}", bench.folder, command, port, {"NODE_PATH": str(self.modules), "NODE_ENV": "production"})

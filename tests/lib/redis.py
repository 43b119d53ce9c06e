# SPDX-License-Identifier: MIT
"""Redis servers and sentinels."""

import atexit
import functools
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

from lib.ports import free_port
from lib.process import ROOT, Process
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


def entries_of(server, prefix="muster", lanes=4):
    """What the server has of the log stream: (writer, "call.index") to the payload."""
    found = {}
    for lane in range(lanes):
        lines = server.ask("XRANGE", f"{prefix}:s:{lane}", "-", "+")
        for i in range(0, len(lines) - 4, 5):  # id, tag, payload, writer, call.index
            found[lines[i + 3], lines[i + 4]] = lines[i + 2]
    return found


class Redis(Process):
    """One redis-server without persistence: what starts again is empty. `options` are its own, beside
    those that make it a test's; its clock is `apart` seconds ahead."""

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
                     "--appendonly", "no", "--dir", str(self.folder), *self.options], with_clock(self.apart))
        wait_until(self.answers, f"{self.name} answers PING")
        return self

    def ask(self, *words):
        """One command by redis-cli: the lines of its answer."""
        done = subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True, check=True, timeout=30)
        return done.stdout.split("\n")[:-1]

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
            data = [word if isinstance(word, bytes) else word.encode() for word in words]
            link.sendall(b"*%d\r\n" % len(data) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in data))
            return link.recv(65536)

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

    def sees_all(self):
        """It knows enough sentinels and a replica: a fail-over can succeed."""
        return (self.command("SENTINEL", "CKQUORUM", self.NAME).startswith(b"+OK")
                and self.command("SENTINEL", "REPLICAS", self.NAME).startswith(b"*1"))


class KeptRedis(Redis):
    """Keeps what it holds over a SIGKILL, as an append-only file does."""

    def command_line(self):
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
                "--dir", str(self.folder), *self.options]

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

    def is_loaded(self):
        return self.answers() and b"loading:0" in self.command("INFO", "persistence")

    def restart_empty(self):
        self.kill()
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)
        (self.folder / "appendonly.aof").unlink(missing_ok=True)
        self.start()

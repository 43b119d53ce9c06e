# SPDX-License-Identifier: MIT
"""Redis servers and sentinels."""

import shutil
import socket

from lib.ports import free_port
from lib.process import Process
from lib.waiting import wait_until


class Redis(Process):
    """One redis-server without persistence: what starts again is empty. `options` are its own, beside
    those that make it a test's."""

    def __init__(self, name, folder, *options):
        super().__init__(name, folder)
        self.port = free_port()
        self.options = options

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self):
        self.launch(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                     "--appendonly", "no", "--dir", str(self.folder), *self.options])
        wait_until(self.answers, f"{self.name} answers PING")
        return self

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

    def start(self, *_):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.launch(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                     "--appendonly", "yes", "--dir", str(self.folder)])
        wait_until(self.answers, f"{self.name} answers PING")
        return self

    def is_loaded(self):
        return self.answers() and b"loading:0" in self.command("INFO", "persistence")

    def restart_empty(self):
        self.kill()
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)
        (self.folder / "appendonly.aof").unlink(missing_ok=True)
        self.start()

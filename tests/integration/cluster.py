"""Real processes: nodes, Redis servers, and a TCP proxy to stand between them."""

import asyncio
import contextlib
import fcntl
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request

from waiting import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = ROOT / os.environ.get("MUSTER_BIN", "build/muster")
SANITIZER_REPORTS = ("ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer", "Sanitizer:DEADLYSIGNAL")
SETTINGS_IN_ENV = re.compile(r"MUSTER_|SG_ENV$")
PORTS_FROM, PORTS_EACH, PORT_RANGES = 15000, 2000, 8
_taken_ports = set()
_port_locks = open(pathlib.Path(tempfile.gettempdir()) / f"muster-test-ports-{os.getuid()}", "wb")
LEASE = "2s"  # of nodes in tests: short, so that what waits for it is soon over


def free_port():
    """A port nobody listens on, below the range the kernel hands to outgoing connections. Each of the processes that
    run tests side by side (pytest-xdist) has its own, so that a server that is down keeps its port."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % PORT_RANGES
    while True:
        port = PORTS_FROM + worker * PORTS_EACH + random.randrange(PORTS_EACH)
        if _take(port):
            return port


def _lock(port):
    """Among all tests on this machine: what is killed to be started again must find its port free. The lock goes with
    the process."""
    try:
        fcntl.lockf(_port_locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _take(port):
    """Reserves it among these tests, if nobody has it."""
    if port in _taken_ports or not _lock(port):
        return False
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    _taken_ports.add(port)
    return True


def free_ports(count):
    """The first of `count` ports in a row that nobody listens on."""
    while True:
        first = free_port()
        if all(_take(first + i) for i in range(1, count)):
            return first


def clean_env(extra=None):
    """The environment without settings of whoever runs the tests."""
    env = {name: value for name, value in os.environ.items() if not SETTINGS_IN_ENV.match(name)}
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env.update(extra or {})
    return env


def flags_of(settings):
    """message_limit="64k" becomes --message-limit 64k."""
    flags = []
    for name, value in settings.items():
        flags += ["--" + name.replace("_", "-"), str(value)]
    return flags


def muster(*args, env=None, deadline=10):
    """Runs the binary to its end; for what ends by itself. Ports that nobody names stay closed: their defaults are
    taken where another node runs on this machine."""
    closed = {"MUSTER_RELAY": "", "MUSTER_TRACKER": "", "MUSTER_DISPATCH_PORTS": ""}
    return subprocess.run([str(BINARY), *args], env=clean_env({**closed, **(env or {})}), cwd=ROOT, timeout=deadline,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def samples(text):
    """What /metrics says, as a dict."""
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def certificates(folder):
    """The folder, filled by tests/certificates.sh."""
    subprocess.run([ROOT / "tests" / "certificates.sh", str(folder)], check=True)
    return folder


class Process:
    """A child whose output goes to a file."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = pathlib.Path(folder)
        self.log_path = self.folder / f"{name}.log"
        self.popen = None

    def launch(self, command, env=None):
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(command, env=env, cwd=self.folder, stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen is not None and self.popen.poll() is None

    def exit_code(self):
        """None while it runs."""
        return self.popen.poll()

    def signal(self, number):
        self.popen.send_signal(number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def cont(self):
        self.signal(signal.SIGCONT)

    def is_stopped(self):
        """By a signal. Who is not may be just now at its end under the leak checker, which stops its own process, and
        for ever where a SIGCONT comes between."""
        with contextlib.suppress(OSError):
            return (pathlib.Path("/proc") / str(self.pid) / "stat").read_text().rsplit(") ", 1)[1][0] == "T"
        return False

    def kill(self):
        """SIGKILL, and gone when this returns."""
        if self.alive():
            self.popen.kill()
            self.popen.wait()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines=40):
        return "\n".join(self.log().splitlines()[-lines:])


class Node(Process):
    """One `muster node`. Keyword arguments are its settings: lease="2s" is --lease 2s."""

    verb = "node"

    def __init__(self, name, folder, env=None, **settings):
        super().__init__(name, folder)
        self.port = free_port()
        self.env = env
        self.settings = {"http": f"127.0.0.1:{self.port}", "drain": "1s", "relay": "", "tracker": "", **settings}
        self.expected_exit = 0
        self.asked_to_end = False

    def start(self):
        """Starts it without waiting; start several, then wait for each with ready()."""
        self.asked_to_end = False
        self.launch([str(BINARY), self.verb, *flags_of(self.settings)], clean_env(self.env))
        return self

    def ready(self):
        def answer():
            assert self.alive(), f"{self.name} ended with {self.exit_code()}:\n{self.log_tail()}"
            return self.is_ready()
        wait_until(answer, f"{self.name}: /readyz says 200")
        return self

    def is_ready(self):
        return self.status("/readyz") == 200

    def status(self, path):
        """The HTTP status, or None when nobody answers."""
        try:
            return self.get(path)[0]
        except OSError:
            return None

    def get(self, path):
        """(status, body) of a GET."""
        try:
            with urllib.request.urlopen(self.http(path), timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def http(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def ws(self, path):
        return f"ws://127.0.0.1:{self.port}{path}"

    def metrics(self):
        """Every sample: its name with labels, as printed, to its number."""
        return samples(self.get("/metrics")[1])

    def term(self, number=signal.SIGTERM):
        self.asked_to_end = True
        self.signal(number)

    def kill(self):
        self.expected_exit = None
        super().kill()

    def stop(self):
        """Ends it and judges how it ended; every node of a test comes here."""
        if self.popen is None:
            return
        if self.alive():
            if self.is_stopped():
                self.cont()
            if not self.asked_to_end:
                self.term()
        try:
            code = self.popen.wait(30)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"{self.name} did not end on SIGTERM:\n{self.log_tail()}") from None
        self.judge(code)

    def judge(self, code):
        log = self.log()
        for report in SANITIZER_REPORTS:
            assert report not in log, f"{self.name}: {log[log.index(report):][:6000]}"
        if self.expected_exit is not None:
            assert code == self.expected_exit, f"{self.name} ended with {code}:\n{self.log_tail()}"


class Workers(Node):
    """One `muster node --workers N`: N nodes behind one port, each with an admin port of its own."""

    def __init__(self, name, folder, count, env=None, **settings):
        self.admin = free_ports(count)
        self.count = count
        super().__init__(name, folder, env, workers=count, admin=f"127.0.0.1:{self.admin}", **settings)

    def worker_get(self, worker, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin + worker}{path}", timeout=5) as response:
            return response.read().decode()

    def worker_ready(self, worker):
        try:
            return self.worker_get(worker, "/readyz") == "ready\n"
        except OSError:
            return False

    def worker_metrics(self, worker):
        return samples(self.worker_get(worker, "/metrics"))

    def is_ready(self):
        return all(map(self.worker_ready, range(self.count)))

    def worker_pids(self):
        """The newest process of each worker, as the log tells it."""
        return {int(number): int(pid) for number, pid in re.findall(r"worker started worker=(\d+) pid=(\d+)", self.log())}


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


class _Link:
    """One client of the proxy and its way to the server."""

    def __init__(self, client_reader, client_writer):
        self.client_reader = client_reader
        self.client_writer = client_writer
        self.server_writer = None
        self.downstream = None
        self.subscribes = False
        self.held = None  # an event that ends the wait
        self.last_byte = 0.0

    def close(self):
        if self.downstream is not None:
            self.downstream.cancel()
        for writer in (self.client_writer, self.server_writer):
            if writer is not None:
                writer.transport.abort()


class Proxy:
    """TCP proxy in a thread of its own, for faults of the network between a node and a server."""

    QUIET = 0.05  # seconds without a byte: between two requests

    def __init__(self, target_port):
        self.port = free_port()
        self.target_port = target_port
        self.delay = 0.0
        self.bytes_up = 0
        self.bytes_down = 0
        self._links = set()
        self._refusing = False
        self._loop = asyncio.new_event_loop()
        self._flowing = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    @property
    def links(self):
        return len(self._links)

    def start(self):
        self._thread.start()
        self._call(self._listen())
        return self

    def stop(self):
        if self._loop.is_running():
            self._call(self._end_tasks())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def cut(self):
        """Resets every link and each new one, until mend()."""
        self._refusing = True
        self._call(self._close_all())

    def mend(self):
        self._refusing = False

    def drop_links(self):
        """Resets what is open now; new links are served."""
        self._call(self._close_all())

    def freeze(self):
        """Connections stay open, bytes stop, until thaw()."""
        self._call(self._set_flowing(False))

    def thaw(self):
        self._call(self._set_flowing(True))

    def hold(self):
        """Of the links that are open now no byte moves until let_go(), even when their client gives them up; new ones
        are served. So does a network that has lost packets and sends them again later."""
        self._call(self._hold_all())

    def let_go(self):
        """True when nothing is held any more."""
        return self._call(self._let_go_all())

    def switch(self, target_port):
        """Open links lead to another server from now on; the client sees nothing of it."""
        self.target_port = target_port
        self._call(self._switch_all())

    def move(self, target_port):
        """New links lead to another server; of the open ones only subscribers stay where they were."""
        self.target_port = target_port
        self._call(self._close_all(lambda link: not link.subscribes))

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    async def _listen(self):
        self._flowing = asyncio.Event()
        self._flowing.set()
        await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _set_flowing(self, flowing):
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _close_all(self, which=lambda link: True):
        for link in [link for link in self._links if which(link)]:
            self._links.discard(link)
            link.close()

    async def _hold_all(self):
        for link in self._links:
            link.held = asyncio.Event()

    async def _let_go_all(self):
        for link in self._links:
            if link.held is not None:
                link.held.set()
        return all(link.held is None for link in self._links)

    async def _end_tasks(self):
        await self._close_all()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _switch_all(self):
        for link in list(self._links):
            while self._loop.time() - link.last_byte < self.QUIET:
                await asyncio.sleep(self.QUIET)
            link.downstream.cancel()
            link.server_writer.transport.abort()
            await self._connect(link)

    async def _serve(self, reader, writer):
        if self._refusing:
            writer.transport.abort()
            return
        link = _Link(reader, writer)
        try:
            await self._connect(link)
        except OSError:
            link.close()
            return
        self._links.add(link)
        try:
            await self._pump_up(link)
        except OSError:
            pass
        self._links.discard(link)
        link.close()

    async def _connect(self, link):
        server_reader, link.server_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        link.downstream = asyncio.ensure_future(self._pump_down(link, server_reader))

    async def _pass(self, link):
        link.last_byte = self._loop.time()
        if self.delay:
            await asyncio.sleep(self.delay)
        await self._flowing.wait()
        if link.held is not None:
            await link.held.wait()

    async def _pump_up(self, link):
        while data := await link.client_reader.read(65536):
            await self._pass(link)
            link.subscribes = link.subscribes or b"SUBSCRIBE" in data.upper()
            self.bytes_up += len(data)
            link.server_writer.write(data)

    async def _pump_down(self, link, server_reader):
        try:
            while data := await server_reader.read(65536):
                await self._pass(link)
                self.bytes_down += len(data)
                link.client_writer.write(data)
        except OSError:
            pass
        self._links.discard(link)
        link.client_writer.transport.abort()

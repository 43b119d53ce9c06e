"""What the cases share: the processes that are measured, the load generator, figures, progress."""
import contextlib
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

START_LIMIT = 20  # seconds until a server must be ready
LOAD_LIMIT = 150


class BenchError(Exception):
    """The bench itself cannot go on: something did not start, or delivered wrongly."""


def free_port():
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, holds, limit=START_LIMIT):
    end = time.monotonic() + limit
    while not holds():
        if time.monotonic() > end:
            raise BenchError(f"{what}: not after {limit} s")
        time.sleep(0.02)


def clean_env():
    """Without MUSTER_BUILD and whatever else a node would take for a setting."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}


class Server:
    """A process on a port of its own, with its standard error in a file."""

    def __init__(self, name, argv, port, folder):
        self.name, self.port = name, port
        self.log = os.path.join(folder, f"{name}-{port}.log")
        self.argv = argv
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                argv, env=clean_env(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = self.process.pid

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def check(self):
        if self.process.poll() is not None:
            with open(self.log, errors="replace") as log:
                raise BenchError(f"{' '.join(self.argv)}\n  ended with "
                                 f"{self.process.returncode}:\n{log.read()[-2000:]}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def rss(self):
        """Bytes of memory that are resident."""
        with open(f"/proc/{self.pid}/smaps_rollup") as rollup:
            return int(re.search(r"^Rss:\s+(\d+) kB", rollup.read(), re.M)[1]) * 1024

    def settled_rss(self):
        """rss() once it has stayed the same for half a second."""
        seen = [self.rss()]
        end = time.monotonic() + 10
        while len(seen) < 6 or len(set(seen[-6:])) > 1:
            if time.monotonic() > end:
                raise BenchError(f"{self.name}: memory does not settle: {seen[-6:]}")
            time.sleep(0.1)
            seen.append(self.rss())
        return seen[-1]


def answers_ready(server):
    server.check()
    try:
        with urllib.request.urlopen(f"http://{server.address}/readyz", timeout=1) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def answers_at_all(server):
    server.check()
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 1):
        return True
    return False


def echoes(server):
    """A server of datagrams that sends each back."""
    server.check()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.settimeout(0.1)
        probe.connect(("127.0.0.1", server.port))
        probe.send(b"x")
        return probe.recv(8) == b"x"
    return False


def sample(server, name):
    """A metric, or 0 while the server does not answer yet."""
    try:
        with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return 0
    return float(text.split(f"\n{name} ")[1].split("\n")[0])


def cpu_of(pid):
    """Seconds of CPU time of a process and of those of its children that have ended."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as stat:
        return sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0


class Bench:
    """What a case gets: where the programs are, how long to measure, and servers to start."""

    def __init__(self, options, progress):
        self.muster, self.tools = options.muster, options.tools
        self.quick, self.progress = options.quick, progress
        self.rows = options.rows
        self.rounds = options.rounds or (3 if options.quick else 5)
        self.seconds = 1.0 if options.quick else 3.0
        self.warm_up = 0.5 if options.quick else 1.0
        self.folder = tempfile.mkdtemp(prefix="muster-bench-")
        self.settings = options.set
        self.help = None

    def knows(self, flag):
        """True when this build of the node has that setting."""
        if self.help is None:
            self.help = subprocess.run([self.muster, "node", "--help"], capture_output=True,
                                       text=True, timeout=10).stdout
        return re.search(rf"^\s*--{flag}\b", self.help, re.M) is not None

    @contextlib.contextmanager
    def node(self, store="memory:", **settings):
        """A muster node, ready; nothing but what the case measures is switched on."""
        port = free_port()
        chosen = {"http": f"127.0.0.1:{port}", "store": store, "log_level": "warn"}
        chosen.update({name: "" for name in ("relay", "tracker") if self.knows(name)})
        chosen.update(settings)
        chosen.update(pair.split("=", 1) for pair in self.settings)
        argv = [self.muster, "node"]
        for name, value in chosen.items():
            argv += [f"--{name.replace('_', '-')}", value]
        yield from self._run(Server("muster", argv, port, self.folder), answers_ready)

    @contextlib.contextmanager
    def floor(self, program="bench_floor", is_ready=answers_at_all):
        port = free_port()
        argv = [os.path.join(self.tools, program), f"127.0.0.1:{port}"]
        yield from self._run(Server("floor", argv, port, self.folder), is_ready)

    @contextlib.contextmanager
    def redis(self):
        port = free_port()
        argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                "--appendonly", "no", "--dir", self.folder]
        yield from self._run(Server("redis", argv, port, self.folder), answers_at_all)

    @staticmethod
    def _run(server, is_ready):
        try:
            wait_until(f"{server.name} on {server.address} ready", lambda: is_ready(server))
            yield server
            server.check()
        finally:
            server.stop()

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


class CountingProxy:
    """Stands between one node and Redis and counts what Redis sends to it."""

    def __init__(self, to_port, marker):
        self.marker = marker      # bytes that nobody who has no part in it may see
        self.received = 0         # bytes from Redis to the node
        self.marked = 0           # chunks among them that hold the marker
        self.to_port = to_port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                node, _ = self.listener.accept()
            except OSError:
                return
            redis = socket.create_connection(("127.0.0.1", self.to_port))
            for pump in ((node, redis, None), (redis, node, self._count)):
                threading.Thread(target=self._pump, args=pump, daemon=True).start()

    def _count(self, chunk, before):
        with self.lock:
            self.received += len(chunk)
            self.marked += self.marker in before + chunk

    def _pump(self, source, target, count):
        before = b""
        with contextlib.suppress(OSError):
            while chunk := source.recv(1 << 16):
                if count:
                    count(chunk, before)
                    before = chunk[-len(self.marker) + 1:]
                target.sendall(chunk)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()


def proxied(to_port, marker):
    return contextlib.closing(CountingProxy(to_port, marker))


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

# SPDX-License-Identifier: MIT
"""Muster's own processes: a node, a node of several workers, a sink."""

import functools
import pathlib
import re
import signal
import subprocess
import urllib.error
import urllib.request

from lib.ports import free_port, free_ports
from lib.process import BINARY, Process, clean_env, flags_of, samples
from lib.waiting import wait_until

SANITIZER_REPORTS = ("ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer", "Sanitizer:DEADLYSIGNAL")
LONG_TURN = re.compile(r"a turn of the loop was long.* cpu_ms=(\d+)")  # CPU time, which a busy machine does not stretch
TURN_SANITIZED_MS = 300  # what a sanitized build may take; the line itself says that one took over 50
LEASE = "2s"  # of nodes in tests: short, so that what waits for it is soon over


@functools.cache
def is_sanitized(binary):
    """Sanitizers make all of it several times as long."""
    return b"__asan_init" in binary.read_bytes() or b"__ubsan_handle" in binary.read_bytes()


class Node(Process):
    """One `muster node`. Keyword arguments are its settings: lease="2s" is --lease 2s."""

    binary, verb = BINARY, "node"
    prefix = ()  # of its command line
    host = "127.0.0.1"  # where it is asked

    def __init__(self, name, folder, env=None, **settings):
        super().__init__(name, folder)
        self.port = free_port()
        self.env = env
        self.settings = {"http": f"127.0.0.1:{self.port}", "drain": "1s", "relay": "", "tracker": "", **settings}
        self.expected_exit = 0
        self.may_stand_still = False  # a test whose node has a reason to stand still says so
        self.asked_to_end = False

    def start(self):
        """Starts it without waiting; start several, then wait for each with ready()."""
        self.asked_to_end = False
        self.launch([*self.prefix, str(self.binary), self.verb, *flags_of(self.settings)], clean_env(self.env))
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
        return f"http://{self.host}:{self.port}{path}"

    def ws(self, path):
        return f"ws://{self.host}:{self.port}{path}"

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
        if not self.may_stand_still:
            allowed = TURN_SANITIZED_MS if is_sanitized(pathlib.Path(self.binary)) else 0
            long = [ms for ms in map(int, LONG_TURN.findall(log)) if ms > allowed]
            assert not long, f"{self.name}: turns of {long} ms of CPU time"
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


class Sink(Node):
    """One `muster sink`."""

    verb = "sink"

    def __init__(self, name, folder, env=None, **settings):
        super().__init__(name, folder, env, **settings)
        self.settings.pop("drain")

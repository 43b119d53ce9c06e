# SPDX-License-Identifier: MIT
"""A child process whose output is kept, and the environment that it gets."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = ROOT / os.environ.get("MUSTER_BIN", "build/muster")
SETTINGS_IN_ENV = re.compile(r"MUSTER_|SG_ENV$")


def clean_env(extra=None):
    """The environment without settings of the shell that runs the tests."""
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
        self.port = None  # of a server, on loopback

    def launch(self, command, env=None):
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(command, env=env, cwd=self.folder, stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log)

    @property
    def pid(self):
        return self.popen.pid

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def check(self):
        """Nothing, unless it has ended."""
        assert self.alive(), f"{self.name} ended with {self.exit_code()}:\n{self.log_tail()}"

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
        """By a signal. A process that is not may be just now at its end under the leak checker, which stops its own process, and
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

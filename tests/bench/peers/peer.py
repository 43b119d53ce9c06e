# SPDX-License-Identifier: MIT
"""What the peers share: where they come from, how they are started, what is measured of their processes."""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import time

from harness import accepts
from lib.ports import free_port
from lib.process import Process, clean_env
from lib.waiting import wait_until

CLOCK_OF_PROCESS = 2  # CPUCLOCK_SCHED: user and system time, all threads
INSTALL_LIMIT = 1500  # seconds; a peer in Go is compiled


class Unavailable(Exception):
    """This machine cannot have that peer; says what is missing."""


class Peer:
    """A kind of server."""

    name = None      # in the table
    dialect = None   # how bench_load speaks to it (tests/bench/load/dialect.h)
    fleet = True     # several of them can be one service
    redis = True     # with Redis between
    fanout = True    # worth a row of its own there

    def install(self, shelf):
        """Brings it into the folder, from its registry, unless it is there; Unavailable says why not."""

    def version(self):
        """Printed by itself where it does."""

    def files(self):
        """What must be there to run it, shared libraries aside."""

    def server(self, bench, redis=None, number=0, ports=()):
        """One of a service, not yet started: a Process with start() and a port. With Redis, if any; or with the ports of all of the service."""

    @contextlib.contextmanager
    def service(self, bench, count=1, redis=None):
        """So many of them, ready."""
        with contextlib.ExitStack() as stack:
            ports = [free_port() for _ in range(count)]
            servers = [stack.enter_context(bench.running(self.server(bench, redis, number, ports))) for number in range(count)]
            for server in servers:
                wait_until(lambda: server.check() or self.is_ready(server), f"{server.name} is ready", 30)
            yield servers

    @staticmethod
    def is_ready(server):
        return accepts(server)

    def size(self):
        """Bytes of all its files and of the shared libraries that its programs are linked with."""
        found = {}
        for path in map(pathlib.Path, self.files()):
            for file in [path] if path.is_file() else filter(pathlib.Path.is_file, path.rglob("*")):
                for one in [file, *libraries(file)]:
                    found[one.resolve()] = one.stat().st_size
        return sum(found.values())


class Server(Process):
    """A server that runs in the foreground."""

    def __init__(self, name, folder, command, port, env=None):
        super().__init__(name, folder)
        self.command, self.port, self.env = [str(word) for word in command], port, env

    def start(self):
        self.launch(self.command, clean_env(self.env))
        return self

    def kill(self):
        """Its children, too, which would stay."""
        children = pids_of(self)[1:] if self.alive() else []
        super().kill()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)


def libraries(file):
    """Those that the program is linked with."""
    with open(file, "rb") as head:
        if head.read(4) != b"\x7fELF":
            return []
    told = subprocess.run(["ldd", file], capture_output=True, text=True, env=clean_env({"LD_LIBRARY_PATH": ":".join(LIBRARY_FOLDERS)})).stdout
    return [pathlib.Path(path) for path in re.findall(r"(/\S+) \(0x", told)]


LIBRARY_FOLDERS = []  # of packages that were unpacked, not installed


def pids_of(server):
    """The process and its children."""
    with contextlib.suppress(OSError):
        children = pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        return [server.pid, *map(int, children)]
    return [server.pid]


def used(servers):
    """Microseconds of CPU time so far."""
    return sum(time.clock_gettime(~pid << 3 | CLOCK_OF_PROCESS) * 1e6 for server in servers for pid in pids_of(server))


def memory(servers):
    """Bytes that are theirs: pages that several processes share count once (PSS)."""
    texts = [pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text() for server in servers for pid in pids_of(server)]
    return sum(int(re.search(r"^Pss:\s+(\d+) kB", text, re.M)[1]) * 1024 for text in texts)


def run(command, what, env=None, cwd=None):
    """What it printed; Unavailable where it fails."""
    try:
        done = subprocess.run([str(word) for word in command], env=clean_env(env), cwd=cwd, timeout=INSTALL_LIMIT, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{what}: {error}") from None
    if done.returncode != 0:
        raise Unavailable(f"{what} failed: {' '.join(done.stderr.split()[-30:])}")
    return done.stdout + done.stderr


def need(program, of):
    """Where it is."""
    found = shutil.which(program)
    if found is None:
        raise Unavailable(f"{of} is not installed (no {program})")
    return found


# ------------------------------------------------------------------------------------ registries

def go_program(shelf, module, name):
    """A program of a Go module, its newest version, compiled once."""
    program = shelf / "go" / name
    if not program.exists():
        run([need("go", "Go"), "install", f"{module}@latest"], f"go install {module}", {"GOBIN": str(program.parent)})
    return program


def npm_modules(shelf, of, *names):
    """A folder of that peer's own with these packages, the newest that the registry has."""
    need("node", "Node.js")
    folder = shelf / "npm" / of
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in names if not (folder / "node_modules" / name).exists()]
    if missing:
        run([need("npm", "npm"), "install", "--prefix", folder, "--no-audit", "--no-fund", "--save", *missing], f"npm install {' '.join(missing)}")
    return folder / "node_modules"


def npm_version(modules, name):
    return re.search(r'"version":\s*"([^"]+)"', (modules / name / "package.json").read_text())[1]


def debian_folder(shelf, package):
    """The package and what it needs beyond what is installed, unpacked: nothing on this machine changes but the folder."""
    need("apt-get", "Debian's apt-get")
    root = shelf / "debian" / package
    if not root.exists():
        store = shelf / "debian" / f"{package}.archives"
        (store / "partial").mkdir(parents=True, exist_ok=True)
        command = ["apt-get", "install", "-y", "-qq", "--download-only", "--no-install-recommends", "-o", f"Dir::Cache::archives={store.resolve()}",
                   "-o", "Debug::NoLocking=1", package]
        try:
            run(command, f"apt-get install --download-only {package}")
        except Unavailable:
            run(["apt-get", "update", "-qq"], "apt-get update")
            run(command, f"apt-get install --download-only {package}")
        unpacked = shelf / "debian" / f"{package}.part"
        for archive in store.glob("*.deb"):
            run(["dpkg", "-x", archive, unpacked], f"dpkg -x {archive.name}")
        if not unpacked.exists():
            raise Unavailable(f"apt-get gave nothing for {package}")
        unpacked.rename(root)
    for folder in sorted(root.glob("usr/lib/*-linux-gnu*")) + sorted(root.glob("lib/*-linux-gnu*")):
        if str(folder) not in LIBRARY_FOLDERS:
            LIBRARY_FOLDERS.append(str(folder))
    return root


def debian_version(shelf, package):
    name = next((shelf / "debian" / f"{package}.archives").glob(f"{package}_*.deb")).name
    return name.split("_")[1].replace("%3a", ":")


def debian_env():
    return {"LD_LIBRARY_PATH": ":".join(LIBRARY_FOLDERS)}


def failed(error):
    """What a peer that does not go on has to say, in a line."""
    return " ".join(str(error).split())[:200]

# SPDX-License-Identifier: MIT
"""What the starter of a process may leave unfit: signals ignored or blocked, descriptors closed, nobody at the end of
stderr."""

import json
import os
import signal
import socket
import subprocess

import pytest

from lib.node import Node, Workers
from lib.ports import free_port
from lib.process import muster
from lib.waiting import wait_until


class UnfitWorkers(Workers):
    """Two of them, started by one who did that before."""

    def __init__(self, redis, folder, before):
        super().__init__("unfit", folder, 2, store=redis.url, dispatch_ports="")
        self.before = before

    def launch(self, command, env=None):
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(command, env=env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, preexec_fn=self.before)


def ignore_children():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def block_endings():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})


@pytest.mark.parametrize("before", [ignore_children, block_endings])
def test_signals_of_whoever_starts_them_do_not_matter(yard, redis, tmp_path, before):
    workers = yard.keep(UnfitWorkers(redis, tmp_path, before)).start().ready()
    os.kill(workers.worker_pids()[0], signal.SIGKILL)
    wait_until(lambda: workers.log().count("worker started worker=0") == 2, "it is started again")
    wait_until(workers.is_ready, "both are ready")
    workers.term()
    wait_until(lambda: workers.exit_code() == 0, "they end")


class Unheard(Workers):
    """The reader of their stderr is gone from the start."""

    def launch(self, command, env=None):
        reader, writer = os.pipe()
        os.close(reader)
        self.popen = subprocess.Popen(command, env=env, cwd=self.folder, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=writer)
        os.close(writer)

    def children(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as children:
            return {int(pid) for pid in children.read().split()}


def test_workers_serve_on_when_nobody_reads_their_log(yard, redis, tmp_path):
    workers = yard.keep(Unheard("unheard", tmp_path, 2, store=redis.url, dispatch_ports="")).start().ready()
    before = workers.children()
    os.kill(min(before), signal.SIGKILL)
    wait_until(lambda: len(workers.children() - before) == 1, "another is started")
    wait_until(workers.is_ready, "both are ready")


class Closed(Node):
    """Descriptors are closed when it starts."""

    closed = ()

    def launch(self, command, env=None):
        words = " ".join(f"{fd}>&-" for fd in self.closed)
        self.popen = subprocess.Popen(["/bin/sh", "-c", f'exec "$@" {words}', "sh", *command], env=env, cwd=self.folder)


@pytest.mark.parametrize("closed", [(2,), (0, 1, 2)])
def test_no_socket_gets_the_number_of_stderr(yard, tmp_path, closed):
    node = Closed("closed", tmp_path, dispatch_ports="")
    node.closed = closed
    yard.keep(node).start().ready()
    for fd in closed:
        assert os.readlink(f"/proc/{node.pid}/fd/{fd}") == "/dev/null"


@pytest.mark.parametrize("flag", ["http", "admin", "relay", "tracker"])
def test_a_port_in_use_is_named_with_its_flag(flag):
    kind = socket.SOCK_DGRAM if flag == "tracker" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = {"http": f"127.0.0.1:{free_port()}", "relay": "", "tracker": "", flag: address}
        done = muster("node", "--dispatch-ports", "", *(word for name, value in settings.items() for word in (f"--{name}", value)))
    assert done.returncode == 1 and f"--{flag}: " in done.stderr and address in done.stderr, done.stderr


def test_a_name_may_stand_where_a_host_may(yard):
    node = yard.node(relay=f"localhost:{free_port()}", tracker=f"sobani=localhost:{free_port()}", zone="rack 7")
    assert "for=relay" in node.log() and "address=127.0.0.1:" in node.log()
    assert [entry["zone"] for entry in json.loads(node.get("/api/status")[1])["nodes"]] == ["rack 7"]
    done = muster("check", "--http", "no.such.name.invalid:8080")
    assert done.returncode == 2 and "no.such.name.invalid" in done.stdout + done.stderr

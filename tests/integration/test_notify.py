# SPDX-License-Identifier: MIT
"""A service manager (systemd, `Type=notify`) is told when a process serves, and how long it takes to leave."""

import contextlib
import socket

import pytest


class Manager:
    """The socket that a service manager listens on; what came is a set of lines for each datagram."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(20)
        self.socket.bind(address)
        self.name = address.replace("\0", "@")

    def hear(self):
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())

    def silent(self):
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            return self.socket.recv(4096) == b""
        return True


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    address = str(tmp_path / "notify") if request.param == "path" else f"\0muster-{tmp_path}"[:100]
    manager = Manager(address)
    yield manager
    manager.socket.close()


def test_a_node_says_that_it_serves_and_that_it_leaves(yard, manager):
    node = yard.node(drain="3s", env={"NOTIFY_SOCKET": manager.name})
    assert manager.hear() == {"READY": "1", "STATUS": "serving"}
    node.term()
    assert manager.hear() == {"STOPPING": "1", "STATUS": "leaving", "EXTEND_TIMEOUT_USEC": "3000000"}
    node.stop()
    assert manager.silent()


def test_the_parent_speaks_for_its_workers(yard, manager):
    redis = yard.redis()
    workers = yard.workers(2, store=redis.url, drain="0s", env={"NOTIFY_SOCKET": manager.name})
    assert manager.hear()["READY"] == "1"
    workers.term()
    assert manager.hear()["STOPPING"] == "1"
    workers.stop()
    assert manager.silent()


@pytest.mark.parametrize("name", ["", "relative", "/" + "x" * 200, "/nowhere/at/all"])
def test_a_name_that_leads_nowhere_hinders_nobody(yard, name):
    node = yard.node(drain="0s", env={"NOTIFY_SOCKET": name})
    assert node.status("/healthz") == 200

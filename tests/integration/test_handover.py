# SPDX-License-Identifier: MIT
"""SIGUSR2: another build takes the place of a node, and nobody meets a closed port."""

import asyncio
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import websockets

from lib.dispatch import RECEIVED, Device, Driver, unpack
from lib.frames import RawWebSocket
from lib.node import LEASE, Node, Workers
from lib.ports import free_port
from lib.process import BINARY, clean_env, flags_of
from lib.relay import handshake
from lib.waiting import until, wait_until

CROWD = 800


class Successor:
    """Not our child: known by its pid."""

    def __init__(self, node):
        self.node = node
        self.pid = int(wait_until(lambda: re.findall(r"successor started.* pid=(\d+)", node.log()), "it starts one")[-1])

    def alive(self):
        try:
            return pathlib.Path(f"/proc/{self.pid}/stat").read_text().split()[2] != "Z"
        except OSError:
            return False

    def stop(self):
        if self.alive():
            os.kill(self.pid, signal.SIGTERM)
            wait_until(lambda: not self.alive(), "the successor ends", 30)


class Knocker(threading.Thread):
    """Does the same thing again and again, until stopped; keeps what went wrong."""

    def __init__(self, what, once):
        super().__init__(daemon=True)
        self.what, self.once, self.over, self.count, self.faults = what, once, False, 0, []

    def run(self):
        while not self.over:
            try:
                self.once()
                self.count += 1
            except (OSError, AssertionError) as fault:
                self.faults.append(f"{self.what}: {fault!r}")

    def judge(self):
        wait_until(lambda: self.count > 20 or self.faults, f"{self.what}: some were answered")
        self.over = True
        self.join()
        assert not self.faults, (self.what, self.count, self.faults[:5])


def knock_http(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while more := link.recv(4096):
            answer += more
        assert answer.startswith(b"HTTP/1.1 "), answer[:80]


def knock_relay(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(json.dumps(handshake("knocker")).encode())
        assert b"acknowledge" in link.recv(65536)
    time.sleep(0.05)


def knock_tracker(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(10)
        link.connect(("127.0.0.1", port))
        link.send(b'{"action":"alive"}')
        assert b"expired" in link.recv(2048)
    time.sleep(0.002)


def knock_device(port):
    """A client that connects is let in. What it says comes back, unless its drivers are told to go just then: then it is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(b"knock")
        assert link.recv(100) in (b"knock", b"knockknock", b"")
    time.sleep(0.02)


def knock_datagram_device(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(10)
        link.connect(("127.0.0.1", port))
        link.send(b"knock")
        assert link.recv(2048) == b"knock"
    time.sleep(0.02)


class Drivers(threading.Thread):
    """A driver on each of some ports, which echoes; one that is told to go comes again at once."""

    def __init__(self, node, *ports):
        super().__init__(daemon=True)
        self.node, self.ports, self.over, self.codes, self.there = node, ports, False, [], 0

    def run(self):
        asyncio.run(self.serve())

    async def serve(self):
        every = [asyncio.ensure_future(self.drive(proto, port)) for proto, port in self.ports]
        while not self.over:
            await asyncio.sleep(0.05)
        for one in every:
            one.cancel()

    async def drive(self, proto, port):
        while True:
            driver = await Driver.connect(self.node, port, proto=proto)
            self.there += 1
            try:
                while True:
                    frame = unpack(await driver.socket.recv())
                    if frame.type == RECEIVED:
                        await driver.write(frame, frame.data)
            except websockets.ConnectionClosed:
                self.codes.append(driver.socket.close_code)

    def stop(self):
        self.over = True
        self.join()


def another_build(path):
    """Another file in the place of the program, as a package manager puts it there: that of OTHER_BIN, or its own
    bytes and some more."""
    fresh = path.with_suffix(".new")
    shutil.copy(os.environ.get("OTHER_BIN", path), fresh)
    with open(fresh, "ab") as file:
        file.write(b"another build")
    fresh.rename(path)


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "muster"
    shutil.copy(BINARY, path)
    return path


def crowd_is_back(node):
    """Each is told to go, comes again, and is let in."""
    def one(client):
        client.read_to_end()
        client.close()
        return RawWebSocket(node)
    return one


def hand_over(yard, node, crowd):
    """Replaces the program and the process; the crowd comes again when it is told to go."""
    another_build(node.binary)
    node.asked_to_end = True
    node.signal(signal.SIGUSR2)
    successor = yard.keep(Successor(node))
    wait_until(lambda: "the successor serves" in node.log(), "the node leaves", 30)
    again = [crowd_is_back(node)(client) for client in crowd]
    wait_until(lambda: not node.alive(), "the old one has ended", 30)
    assert successor.alive()
    assert os.path.samefile(f"/proc/{successor.pid}/exe", node.binary), "the new build"
    for client in again:
        client.close()
    return successor


def knockers(node, relay, tracker):
    return [Knocker("http", lambda: knock_http(node.port)), Knocker("admin", lambda: knock_http(node.admin_port)),
            Knocker("relay", lambda: knock_relay(relay)), Knocker("tracker", lambda: knock_tracker(tracker))]


def test_nobody_is_refused_and_no_datagram_is_unanswered(yard, redis, program):
    relay, tracker, admin, stream, datagrams = (free_port() for _ in range(5))
    node = Node("node", yard.folder, store=redis.url, lease=LEASE, drain="3s", relay=f"127.0.0.1:{relay}", relay_joins=0,
                tracker=f"127.0.0.1:{tracker}", tracker_rate=0, admin=f"127.0.0.1:{admin}", dispatch_bind="127.0.0.1",
                dispatch_ports=f"tcp:{stream},udp:{datagrams}")
    node.binary, node.admin_port, node.bind = program, admin, "127.0.0.1"
    node.is_ready = lambda: True
    yard.keep(node).start()
    wait_until(lambda: "listening for=http" in node.log(), "it listens")
    first, last = (yard.keep(Drivers(node, ("tcp", stream), ("udp", datagrams))) for _ in range(2))
    crowd = []
    for drivers in (first, last):  # which are told to go one after the other, as those of a real fleet
        drivers.start()
        wait_until(lambda some=drivers: some.there == 2, "drivers are there")
        crowd += [RawWebSocket(node) for _ in range(CROWD // 2)]
    all_ = [*knockers(node, relay, tracker), Knocker("device", lambda: knock_device(stream)),
            Knocker("datagram device", lambda: knock_datagram_device(datagrams))]
    for knocker in all_:
        knocker.start()
    hand_over(yard, node, crowd)
    wait_until(lambda: first.there == last.there == 4, "the drivers have come again")
    for knocker in all_:
        knocker.judge()
    assert first.codes == last.codes == [1001] * 2
    print({knocker.what: knocker.count for knocker in all_})


def test_workers_hand_over_to_workers(yard, redis, program):
    relay, tracker = free_port(), free_port()
    workers = Workers("workers", yard.folder, 2, store=redis.url, lease=LEASE, drain="3s", relay=f"127.0.0.1:{relay}", relay_joins=0,
                      tracker=f"127.0.0.1:{tracker}", tracker_rate=0)
    workers.binary, workers.admin_port = program, workers.admin
    yard.keep(workers).start().ready()
    crowd = [RawWebSocket(workers) for _ in range(CROWD // 4)]
    all_ = knockers(workers, relay, tracker)
    for knocker in all_:
        knocker.start()
    hand_over(yard, workers, crowd)
    for knocker in all_:
        knocker.judge()
    assert workers.is_ready(), "both of the new ones"


async def test_device_ports_go_with_them(yard, redis, program):
    node = Node("node", yard.folder, store=redis.url, lease=LEASE, drain="1s", dispatch_bind="127.0.0.1", dispatch_ports="15000-31000")
    node.binary, node.bind = program, "127.0.0.1"
    yard.keep(node).start().ready()
    port = free_port()
    driver = await Driver.connect(node, port)
    (await Device.connect(node, port)).close()
    another_build(program)
    node.asked_to_end = True
    node.signal(signal.SIGUSR2)
    yard.keep(Successor(node))
    await until(lambda: "the successor serves" in node.log(), "the node leaves")
    device = await Device.connect(node, port)  # accepted by the successor, for the driver of the old one or the next one
    assert await driver.close_code() == 1001
    again = await Driver.connect(node, port)
    await until(lambda: not node.alive(), "the old one has ended")
    device.close()
    last = await Device.connect(node, port)
    await again.next()
    last.close()
    await again.close()


def test_a_successor_that_cannot_start_changes_nothing(yard, redis, program):
    node = Node("node", yard.folder, store=redis.url)
    node.binary = program
    yard.keep(node).start().ready()
    program.unlink()
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    node.signal(signal.SIGUSR2)
    wait_until(lambda: "the successor ended; this process goes on" in node.log() and "exit=7" in node.log(), "it says so")
    assert node.is_ready()
    client = RawWebSocket(node)
    client.close()


def test_sockets_from_a_service_manager(yard):
    """As systemd gives them: from descriptor 3 on, for the process that it starts."""
    listener = socket.create_server(("127.0.0.1", free_port()))
    port = listener.getsockname()[1]
    settings = flags_of({"http": f"127.0.0.1:{port}", "relay": "", "tracker": "", "drain": "0"})
    manager = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); os.execv(sys.argv[2], sys.argv[2:])"
    with open(yard.folder / "manager.log", "wb") as log, \
            subprocess.Popen([sys.executable, "-c", manager, str(listener.fileno()), str(BINARY), "node", *settings], env=clean_env(), stdout=log, stderr=log,
                             pass_fds=[listener.fileno()]) as node:
        try:
            wait_until(lambda: b"listening for=http" in (yard.folder / "manager.log").read_bytes(), "it listens, though the port is taken")
            knock_http(port)
        finally:
            node.terminate()
        assert node.wait(20) == 0
    listener.close()

# SPDX-License-Identifier: MIT
"""Ports for the servers of tests, each for one server of one test."""

import fcntl
import os
import pathlib
import random
import socket
import tempfile

PORTS = range(15000, 31000)  # below those that the kernel hands to outgoing connections
TRIES = 100000
_taken_ports = set()
_port_locks = open(pathlib.Path(tempfile.gettempdir()) / f"muster-test-ports-{os.getuid()}", "wb")


def free_port():
    """A port nobody listens on. No other test on this machine gets it while this process runs, so that a server that
    is down keeps its port."""
    for _ in range(TRIES):
        port = random.choice(PORTS)
        if _take(port):
            return port
    raise AssertionError(f"no port of {PORTS} is free")


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


def listens(port):
    """Whether somebody does; without connecting, which the server would notice."""
    rows = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "0A" for row in rows)

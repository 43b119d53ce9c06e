# SPDX-License-Identifier: MIT
"""The nodes of the world: plain ones, and ones of several workers, which the storm may also hurt one by one."""

import os
import pathlib
import random
import signal

from lib.node import Node, Workers
from lib.waiting import wait_until

PROOFS = "muster_bus_lag_seconds_count"
RECONNECTS = "muster_store_reconnects_total"
AWAY = "muster_store_partitions_away"


class Single(Node):
    """What is asked of each process of a node."""

    def answer_ports(self):
        """Where its processes answer /healthz, /readyz and /metrics."""
        return [self.port]

    def each_metrics(self):
        return [self.metrics()]


class Group(Workers):
    """A node of several workers."""

    def answer_ports(self):
        return [self.admin + i for i in range(self.count)]

    def each_metrics(self):
        return [self.worker_metrics(i) for i in range(self.count)]

    def metrics(self):
        total = {}
        for one in self.each_metrics():
            for name, value in one.items():
                total[name] = total.get(name, 0) + value
        return total

    def kill(self):
        """SIGKILL for all of it; first the parent, which would start workers again."""
        self.expected_exit = None
        pids = self.children()
        if self.alive():
            self.popen.kill()
            self.popen.wait()
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(_runs, pids)), f"{self.name}: the workers are gone")

    def children(self):
        try:
            return list(map(int, pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()))
        except OSError:
            return []

    def signal_all(self, number):
        for pid in [self.pid, *self.children()]:
            _signal(pid, number)

    def pause(self):
        self.signal_all(signal.SIGSTOP)

    def cont(self):
        self.signal_all(signal.SIGCONT)

    def hurt_worker(self, number=signal.SIGKILL):
        """One worker alone; with SIGKILL the parent starts another."""
        for pid in random.sample(self.children(), 1) if self.children() else ():
            _signal(pid, number)


def _signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _runs(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def proofs(node):
    """How often each process of the node has proved its link to Redis; None when one does not answer."""
    try:
        return [metrics.get(PROOFS, 0) for metrics in node.each_metrics()]
    except OSError:
        return None


def serves_all(node):
    """Each of its processes reaches every partition of the store."""
    try:
        return all(metrics.get(AWAY) == 0 for metrics in node.each_metrics())
    except OSError:
        return False


def reconnects(nodes):
    """Changes when a link to Redis fell, or a process was replaced."""
    try:
        return [(metrics[RECONNECTS], metrics["process_start_time_seconds"]) for node in nodes
                for metrics in node.each_metrics()]
    except OSError:
        return None


__all__ = ["Group", "Single", "proofs", "reconnects", "serves_all"]

# SPDX-License-Identifier: MIT
"""A machine of its own, as far as the network goes: a namespace with one cable to this one, which can be pulled."""

import random
import subprocess

import pytest

from lib.process import Process
from lib.waiting import wait_until


class Machine(Process):
    """`own` is its address, `here` that of this machine on the cable. Skips the test where the system forbids it."""

    def __init__(self, name, folder):
        super().__init__(name, folder)
        number = random.randrange(1, 1 << 14) * 4
        net = f"10.213.{number // 256}"
        self.here, self.own = f"{net}.{number % 256 + 1}", f"{net}.{number % 256 + 2}"
        self.end_here, self.end_there = f"mu{number}a", f"mu{number}b"

    def start(self):
        self.launch(["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 600"])
        wait_until(lambda: not self.alive() or "up" in self.log(), "it says so")
        if not self.alive():
            pytest.skip(f"no network namespace here: {self.log_tail()}")
        self._ip("link", "add", self.end_here, "type", "veth", "peer", "name", self.end_there, "netns", str(self.pid))
        self._ip("addr", "add", f"{self.here}/30", "dev", self.end_here)
        self.plug_in()
        subprocess.run([*self.inside(), "ip", "addr", "add", f"{self.own}/30", "dev", self.end_there], check=True)
        subprocess.run([*self.inside(), "ip", "link", "set", self.end_there, "up"], check=True)
        return self

    def inside(self):
        """What stands before a command that runs there."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net"]

    def plug_in(self):
        self._ip("link", "set", self.end_here, "up")

    def pull_out(self):
        """Nothing comes through any more, and nobody is told."""
        self._ip("link", "set", self.end_here, "down")

    def stop(self):
        """The cable goes with the namespace."""
        if self.alive():
            self.popen.kill()
            self.popen.wait()

    @staticmethod
    def _ip(*words):
        subprocess.run(["ip", *words], check=True)

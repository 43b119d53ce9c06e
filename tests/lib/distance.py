# SPDX-License-Identifier: MIT
"""A long way to this machine itself: what is sent to `far` comes in at `near` after a while, and looks as if it came from
`far`. Packets keep their order, and none is lost. The kernel's own TCP is at both ends."""

import collections
import contextlib
import fcntl
import multiprocessing
import os
import random
import select
import struct
import subprocess
import time

import pytest

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


class Distance:
    """`one_way` seconds each way. Skips the test where the system forbids it."""

    def __init__(self, one_way):
        number = random.randrange(1, 1 << 14) * 4
        net = f"10.214.{number // 256}"
        self.near, self.far = f"{net}.{number % 256 + 1}", f"{net}.{number % 256 + 2}"
        self.one_way, self.device = one_way, f"mt{number}"
        try:
            self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self.tun, TUNSETIFF, struct.pack("16sH", self.device.encode(), IFF_TUN | IFF_NO_PI))
            for words in (("addr", "add", f"{self.near}/30", "dev", self.device), ("link", "set", self.device, "up")):
                subprocess.run(["ip", *words], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no tunnel device here: {error}")
        self.carrier = multiprocessing.get_context("fork").Process(target=self._carry, daemon=True)
        self.carrier.start()

    def _carry(self):
        """Source and destination change places: so it is for here, from there; sums over the packet stay as they are."""
        under_way = collections.deque()
        with contextlib.suppress(PermissionError):  # it does little, and what it does late would be the way's fault
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        while True:
            wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else 0.2
            if select.select([self.tun], [], [], min(wait, 0.2))[0]:
                packet = os.read(self.tun, 65536)
                if packet[0] >> 4 == 4:
                    under_way.append((time.monotonic() + self.one_way,
                                      packet[:12] + packet[16:20] + packet[12:16] + packet[20:]))
            while under_way and under_way[0][0] <= time.monotonic():
                _, packet = under_way.popleft()
                os.write(self.tun, packet)

    def stop(self):
        self.carrier.kill()
        self.carrier.join()
        os.close(self.tun)

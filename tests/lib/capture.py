# SPDX-License-Identifier: MIT
"""What this machine's own kernel says about TCP connections within it: each segment, and when it arrived, or left. No process
has to be scheduled in time for that."""

import collections
import ctypes
import select
import socket
import struct
import threading

import pytest

SO_TIMESTAMPNS, SO_ATTACH_FILTER, SO_RCVBUFFORCE = 35, 26, 33
SOL_PACKET, PACKET_STATISTICS, PACKET_HOST, PACKET_OUTGOING = 263, 6, 0, 4
ETH_P_IP, ETH_P_ALL = 0x0800, 0x0003  # what leaves is shown to a socket that sees all

# `begins` is the number of the first byte in its stream, `confirms` that of the byte that is expected next.
Segment = collections.namedtuple("Segment", "time source to begins confirms data")


def _program(ports):
    """For the kernel: TCP from or to one of these ports."""
    load_half, compare, keep = 0x48, 0x15, 0x06
    checks = [(load_half, 0, 0, 0), *((compare, 0, 0, port) for port in ports),
              (load_half, 0, 0, 2), *((compare, 0, 0, port) for port in ports)]
    lines = [(0x30, 0, 0, 9), (compare, 0, len(checks) + 1, 6), (0xb1, 0, 0, 0), *checks,
             (keep, 0, 0, 0), (keep, 0, 0, 0xffff)]
    last = len(lines) - 1
    return b"".join(struct.pack("=HBBI", code, last - at - 1 if code == compare and at > 1 else yes, no, value)
                    for at, (code, yes, no, value) in enumerate(lines)), len(lines)


class Capture:
    """Skips the test where the system forbids it. `leaving`: when each left, whatever became of it on its way."""

    def __init__(self, ports, device="lo", leaving=False):
        self.ports, self.segments, self.seen = ports, [], PACKET_OUTGOING if leaving else PACKET_HOST
        try:
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        except PermissionError as error:
            pytest.skip(f"no packets to see without root: {error}")
        program, count = _program(ports)
        self.program = ctypes.create_string_buffer(program)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                               struct.pack("HL", count, ctypes.addressof(self.program)))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 * 1024 * 1024)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.bind((device, ETH_P_ALL if leaving else ETH_P_IP))
        self.ends, self.tell = socket.socketpair()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while True:
            ready = select.select([self.socket, self.ends], [], [])[0]
            if self.socket in ready:
                self._take()
            elif ready:
                return

    def _take(self):
        packet, notes, _, address = self.socket.recvmsg(65536, 64)
        if address[2] != self.seen:
            return  # each one is seen twice: as it leaves and as it arrives
        seconds, nanoseconds = struct.unpack("ll", notes[0][2][:16])
        length, begin = struct.unpack_from("!H", packet, 2)[0], (packet[0] & 15) * 4
        source, to, begins, confirms, offset = struct.unpack_from("!HHIIB", packet, begin)
        self.segments.append(Segment(seconds + nanoseconds / 1e9, source, to, begins, confirms,
                                     packet[begin + (offset >> 4) * 4:length]))

    def stop(self):
        """All that has arrived until now is in `segments`."""
        if self.thread.is_alive():
            self.tell.close()
            self.thread.join()
            _, lost = struct.unpack("II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
            self.socket.close()
            assert lost == 0, f"{lost} packets were not seen"

    def ways(self):
        """By client port: (what came to it, what it said), each a Stream."""
        ways = collections.defaultdict(lambda: (Stream(), Stream()))
        for segment in self.segments:
            from_client = segment.to in self.ports
            heard, said = ways[segment.source if from_client else segment.to]
            mine, other = (said, heard) if from_client else (heard, said)
            other.confirm(segment)
            mine.add(segment)
        return ways


class Stream:
    """What one side sent: `sent` in order, each once, and in `confirmed` when the other side's kernel had all of it."""

    def __init__(self):
        self.sent, self.confirmed = [], []

    def add(self, segment):
        again = self.sent and (segment.begins - self.sent[-1].begins) % 2 ** 32 not in range(1, 2 ** 31)
        if segment.data and not again:
            self.sent.append(segment)

    def confirm(self, segment):
        while len(self.confirmed) < len(self.sent):
            first = self.sent[len(self.confirmed)]
            if (segment.confirms - first.begins - len(first.data)) % 2 ** 32 >= 2 ** 31:
                return
            self.confirmed.append(segment.time)

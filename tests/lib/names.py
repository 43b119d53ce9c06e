# SPDX-License-Identifier: MIT
"""A small name server, and processes that have /etc/resolv.conf and /etc/hosts of their own."""

import random
import socket
import struct
import threading

import pytest

A = 1
CUT, NO_SUCH_NAME = 0x0200, 3


class NameServer:
    """Answers for `zone`, name to IPv4 addresses, at an address of its own. `silent`: reads and says nothing. `cut`:
    over UDP it only says that the answer is too long."""

    def __init__(self, zone):
        self.zone, self.silent, self.cut = zone, False, False
        self.asked = {"udp": 0, "tcp": 0}
        self.address = f"127.{random.randrange(1, 255)}.{random.randrange(255)}.{random.randrange(1, 255)}"

    def start(self):
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.udp.bind((self.address, 53))
            self.tcp.bind((self.address, 53))
        except PermissionError:
            pytest.skip("port 53 is not for this user")
        self.tcp.listen(20)
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()
        return self

    def stop(self):
        self.udp.close()
        self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()

    def _serve_udp(self):
        while True:
            try:
                question, peer = self.udp.recvfrom(1500)
            except OSError:
                return
            self.asked["udp"] += 1
            if not self.silent:
                self.udp.sendto(self._answer(question, self.cut), peer)

    def _serve_tcp(self):
        while True:
            try:
                link, _ = self.tcp.accept()
            except OSError:
                return
            with link:
                link.settimeout(5)
                self._serve_link(link)

    def _serve_link(self, link):
        try:
            while (head := link.recv(2, socket.MSG_WAITALL)) and not self.silent:
                answer = self._answer(link.recv(struct.unpack(">H", head)[0], socket.MSG_WAITALL), False)
                self.asked["tcp"] += 1
                link.sendall(struct.pack(">H", len(answer)) + answer)
        except OSError:
            pass  # the client has what it wanted

    def _answer(self, question, cut):
        end = question.index(b"\0", 12)
        kind = struct.unpack(">H", question[end + 1:end + 3])[0]
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        addresses = self.zone.get(".".join(labels).lower())
        found = addresses if addresses and kind == A and not cut else []
        flags = 0x8180 | (CUT if cut else 0) | (NO_SUCH_NAME if addresses is None else 0)
        head = question[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0)
        return head + question[12:end + 5] + b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 0, 4) + socket.inet_aton(address) for address in found)


class Etc:
    """The two files, for processes that begin with `prefix`; what is written into them later they see, too."""

    def __init__(self, folder):
        self.resolv, self.hosts = folder / "resolv.conf", folder / "hosts"
        self.resolv.write_text("")
        self.hosts.write_text("127.0.0.1 localhost\n")

    @property
    def prefix(self):
        """Mounts are of a process; `unshare` gives it its own."""
        return ["unshare", "--mount", "sh", "-c",
                f'mount --bind {self.resolv} /etc/resolv.conf && mount --bind {self.hosts} /etc/hosts && exec "$@"', "sh"]

    def servers(self, *servers):
        self.resolv.write_text("".join(f"nameserver {server.address}\n" for server in servers))

    def name(self, name, address):
        self.hosts.write_text(f"127.0.0.1 localhost\n{address} {name}\n")

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Loads that a node's other clients should not feel: `noise.py KIND HOST:PORT [ARGUMENT ...]` says `ready` and goes on until
its input ends. For the case `neighbours`, which says what each is."""

import json
import os
import pathlib
import selectors
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from lib.frames import TEXT, frame_bytes  # noqa: E402

READ = 256 * 1024
PIECE = 64 * 1024


def connect(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), 30)


def read_head(stream):
    head = b""
    while b"\r\n\r\n" not in head:
        piece = stream.recv(1)
        if not piece:
            sys.exit(f"the node closed the connection: {head!r}")
        head += piece
    return head


def websocket(address, path):
    stream = connect(address)
    stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    head = read_head(stream)
    if b" 101 " not in head:
        sys.exit(f"no WebSocket: {head!r}")
    return stream


def read_frames(stream, count):
    """Reads so many frames of a server to their end; the last one's payload."""
    data = b""
    payload = b""
    while count > 0:
        need = 2
        if len(data) >= 2:
            short = data[1] & 127
            wide = {126: 2, 127: 8}.get(short, 0)
            need = 2 + wide
            if len(data) >= need:
                length = int.from_bytes(data[2:need], "big") if wide else short
                need += length
                if len(data) >= need:
                    payload, data, count = data[need - length:need], data[need:], count - 1
                    continue
        piece = stream.recv(max(need - len(data), 1))
        if not piece:
            sys.exit("the node closed the connection")
        data += piece
    return payload


def threads(work, count):
    """Runs `work` in so many threads, for good."""
    for _ in range(count):
        threading.Thread(target=work, daemon=True).start()


def stream(address, path, device):
    """A device that sends 50 MB a second to its driver."""
    driver = websocket(address, path)

    def drain(into=bytearray(READ)):
        while driver.recv_into(into):
            pass

    def send():
        host, port = device.rsplit(":", 1)
        while True:
            try:
                source = socket.create_connection((host, int(port)), 1)
                break
            except OSError:
                time.sleep(0.05)
        piece, begun, sent = bytes(PIECE), time.monotonic(), 0
        while True:
            ahead = sent / 50e6 - (time.monotonic() - begun)
            if ahead > 0:
                time.sleep(ahead)
            source.sendall(piece)
            sent += len(piece)

    threads(drain, 1)
    threads(send, 1)


def bodies(address, size):
    """Two clients of /logs/add, a body of so many bytes after the other."""
    entry = {"msg": "x" * 180, "level": "info", "room": "bench", "timestamp": 1700000000000, "n": 1.5}
    count = max(1, int(size) // (len(json.dumps(entry)) + 2))
    body = json.dumps([entry] * min(count, 1000)).encode()
    if count > 1000:
        entry["msg"] = "x" * (int(size) // 1000 - 120)
        body = json.dumps([entry] * 1000).encode()
    request = (f"POST /logs/add HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
               f"Content-Length: {len(body)}\r\n\r\n").encode() + body

    def ask():
        client = connect(address)
        while True:
            client.sendall(request)
            head = read_head(client)
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            while length > 0:
                length -= len(client.recv(length))

    threads(ask, 2)


def history(address):
    """Eight chat users that read the history of 100 messages, four requests of each on their way."""
    def log_in():
        user = websocket(address, "/chat")
        user.sendall(frame_bytes(TEXT, json.dumps({"action": "login", "token": "bench"})))
        if b"connected" not in read_frames(user, 1):
            sys.exit("a login failed")
        return user

    writer = log_in()
    for number in range(100):
        writer.sendall(frame_bytes(TEXT, json.dumps({"action": "message", "message": f"{number} " + "x" * 300})))
        read_frames(writer, 1)
    request = frame_bytes(TEXT, json.dumps({"action": "history", "limit": 100, "offset": 0}))

    def ask():
        user = log_in()
        user.sendall(request * 4)
        while True:
            read_frames(user, 1)
            user.sendall(request)

    threads(ask, 8)


def logins(address, count, token):
    """So many sockets that log in at once; when all are answered, again."""
    request = frame_bytes(TEXT, json.dumps({"action": "login", "token": token}))
    users = [websocket(address, "/chat") for _ in range(int(count))]

    def burst():
        chosen = selectors.DefaultSelector()
        for user in users:
            chosen.register(user, selectors.EVENT_READ)
        while True:
            for user in users:
                user.sendall(request)
            waiting = set(users)
            while waiting:
                for key, _ in chosen.select():
                    if b"connected" not in key.fileobj.recv(READ):
                        sys.exit("a login failed")
                    waiting.discard(key.fileobj)

    threads(burst, 1)


def documents(address, kind):
    """Four clients of sync that send documents of 252 KB: large, deep, or with an escaped type."""
    size = 252 * 1024
    text = {"large": '{"type":"Push","sessionId":"x","a":[' + ",".join(['{"n":1.5,"t":"abc"}'] * (size // 21)) + "]}",
            "deep": '{"type":"Push","a":[' + ",".join(["[" * 100 + "]" * 100] * (size // 201)) + "]}",
            "escaped": '{"type":"' + "\\u0041" * (size // 6 - 3) + '"}'}[kind]
    frame = frame_bytes(TEXT, text)

    def send():
        client = websocket(address, "/connect")
        while True:
            client.sendall(frame)
            read_frames(client, 1)

    threads(send, 4)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    kinds = {work.__name__: work for work in (stream, bodies, history, logins, documents)}
    kinds[sys.argv[1]](*sys.argv[2:])
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)  # threads are in the middle of their work


if __name__ == "__main__":
    main()

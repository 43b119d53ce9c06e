# SPDX-License-Identifier: MIT
"""How many access tokens signed with RS256 a core can check: the node's own check in a program of its
own (bench_jwt), and whole logins at the sockets of a node, against the verifications a second of
`openssl speed rsa2048`. The figure is how many times as fast openssl is."""
import json
import os
import re
import subprocess
import time

from harness import BenchError, Result, median, rounds
from lib.base64url import b64

SECONDS = 2


def command(*argv, data=None):
    done = subprocess.run(argv, input=data, capture_output=True)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(argv)}: {done.stderr.decode().strip()}")
    return done.stdout


def make_token(key):
    claims = {"sub": "HL365393213667", "aud": "heavenland-api", "iat": int(time.time()),
              "exp": int(time.time()) + 24 * 3600}
    text = ".".join(b64(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
    signature = command("openssl", "dgst", "-sha256", "-sign", key, data=text.encode())
    return f"{text}.{b64(signature)}"


def run(bench):
    key, public = (os.path.join(bench.folder, name) for name in ("private.pem", "public.pem"))
    command("openssl", "genrsa", "-out", key, "2048")
    command("openssl", "pkey", "-in", key, "-pubout", "-out", public)
    token = make_token(key)

    def checks():
        seen = json.loads(command(os.path.join(bench.tools, "bench_jwt"), public, token, str(SECONDS)))
        rate = seen["checks"] / seen["cpu_seconds"]
        return rate, f"{rate:,.0f} checks/s"

    def logins():
        settings = {"chat_jwt_key": public, "chat_rate": "100000", "chat_burst": "100000"}
        with bench.node(**settings) as node:
            seen = bench.load("logins", node=node.address, pid=node.pid, path="/chat", token=token,
                              connections=64, window=1)
            rate = seen["logins"] / seen["cpu_ns"] * 1e9
            return rate, f"{rate:,.0f} logins per second of CPU"

    def openssl():
        out = command("openssl", "speed", "-seconds", str(SECONDS), "rsa2048").decode()
        found = re.search(r"^rsa 2048 bits.*?([\d.]+)$", out, re.M)
        if found is None:
            raise BenchError(f"openssl speed said: {out}")
        rate = float(found[1])
        return rate, f"{rate:,.0f} verifications/s"

    seen = rounds(bench, "login", [("check", checks), ("openssl", openssl), ("login", logins)])
    note = f"{median(seen[0]):,.0f} checks, {median(seen[2]):,.0f} logins, openssl {median(seen[1]):,.0f} a second"
    return [Result("RS256 access tokens checked: openssl's verifications a second, times ours", 2.0,
                   median([o / c for c, o in zip(seen[0], seen[1])]), note=note),
            Result("the same for whole logins at a node's sockets", 2.0,
                   median([o / c for c, o in zip(seen[2], seen[1])]), note=note)]

# SPDX-License-Identifier: MIT
"""`make run` tells the truth: which store, which addresses, what is off. Its program is a stand-in."""

import os
import pathlib
import subprocess

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "run.sh"


def run(tmp_path, *flags, **variables):
    build = tmp_path / "build"
    build.mkdir(exist_ok=True)
    (build / "muster").write_text('#!/bin/sh\necho "given: $* $MUSTER_HTTP $MUSTER_RELAY $MUSTER_TRACKER $MUSTER_DISPATCH_BIND"\n')
    (build / "muster").chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
    said = subprocess.run([SCRIPT, *flags], cwd=tmp_path, env={**plain, **variables}, capture_output=True, text=True, check=True)
    assert not said.stderr
    return {line.split()[0]: " ".join(line.split()[1:]) for line in said.stdout.splitlines()}


def test_all_of_it_is_on_loopback(tmp_path):
    said = run(tmp_path)
    assert said["given:"] == "node 127.0.0.1:8080 127.0.0.1:1337 127.0.0.1:3000 127.0.0.1"
    assert "embedded" in said["store"] and said["relay"] == "tcp://127.0.0.1:1337" and said["tracker"] == "udp 127.0.0.1:3000"
    assert said["devices"].startswith("ports 6000-6999 on 127.0.0.1")


def test_flags_and_variables_are_told(tmp_path):
    said = run(tmp_path, "--http", "127.0.0.1:9000", "--relay=", "--store", "redis://user:secret@db:6379/1", "--chat-login=development", MUSTER_TRACKER="", MUSTER_HTTP="0.0.0.0:1")
    assert said["status"] == "http://127.0.0.1:9000/" and said["sync"] == "ws://127.0.0.1:9000/connect", "a flag wins"
    assert said["relay"] == "off" and said["tracker"] == "off"
    assert said["store"] == "redis://...@db:6379/1", "no password on the screen"
    assert "development" in said["chat"]
    assert run(tmp_path, "--admin", "127.0.0.1:9")["metrics"] == "http://127.0.0.1:9/metrics"

# SPDX-License-Identifier: MIT
"""`make cluster` leaves nothing behind, however often one presses Ctrl-C. Its programs are stand-ins."""

import os
import pathlib
import signal
import subprocess
import time

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "cluster.sh"
SLOW = """#!/bin/sh
echo $$ >>"$STARTED"
trap 'sleep 0.5; exit 0' TERM
while :; do sleep 0.1; done
"""
DEADLINE = 20


def put(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def until(what):
    end = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


@pytest.fixture
def started(tmp_path):
    """Where each stand-in leaves its pid; none outlives the test."""
    path = tmp_path / "started"
    path.touch()
    yield path
    for pid in filter(is_alive, map(int, path.read_text().split())):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("signals", [1, 3])
def test_nothing_is_left(tmp_path, started, signals):
    for name in ("redis-server", "haproxy"):
        put(tmp_path / "bin" / name, SLOW)
    put(tmp_path / "build" / "muster", SLOW)
    for name in ("redis-cli", "curl"):
        put(tmp_path / "bin" / name, "#!/bin/sh\n")
    said = tmp_path / "said"
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "STARTED": str(started), "BASE_PORT": "1"}
    with open(said, "w") as out:
        script = subprocess.Popen(["env", "--default-signal=INT", SCRIPT], cwd=tmp_path, env=environment, stdout=out, stderr=out, start_new_session=True)
        until(lambda: "Three nodes" in said.read_text() and len(started.read_text().split()) == 5)
        for _ in range(signals):
            script.send_signal(signal.SIGINT)
            time.sleep(0.1)  # as fast as a hand
        assert script.wait(DEADLINE) == 0
    assert said.read_text().endswith("all stopped\n")
    assert not [pid for pid in map(int, started.read_text().split()) if is_alive(pid)]

# SPDX-License-Identifier: MIT
"""Real shippers, from their registry, send two lines each: both arrive once, with level, time, room and text."""

import asyncio
import pathlib
import shutil
import subprocess

import pytest

from lib.logs import Listener
from lib.shared import npm_packages

FOLDER = pathlib.Path(__file__).parent / "shippers"
pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@pytest.fixture(scope="module", autouse=True)
def packages():
    npm_packages(FOLDER)


@pytest.mark.parametrize("shipper", ["winston", "pino", "bunyan", "otlp-json", "otlp-protobuf", "loki-json", "loki-protobuf"])
async def test_shipper(yard, redis, shipper):
    """It sends to one node; a listener at another hears it."""
    here, there = yard.fleet([redis.url] * 2, logs_room_keys="app", logs_user_keys="service.name")
    listener = await Listener.join(there)
    done = await asyncio.to_thread(subprocess.run, ["node", "ship.js", shipper, str(here.port)], cwd=FOLDER, capture_output=True, text=True,
                                   timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    first, second = sorted(await listener.heard(2), key=lambda entry: entry["seqNumber"])
    assert (first["level"], second["level"]) == ("info", "error")
    said = [entry["msg"].removesuffix(' {"level":"%s"}' % entry["level"]) for entry in (first, second)]  # as winston-loki has it
    assert said == ["started", "it broke"]
    for entry in (first, second):
        assert abs(entry["timestamp"] - entry["serverTime"]) < 60000
        assert entry["room"] == ("" if shipper == "winston" else "shop")
    if shipper.startswith("otlp"):
        assert {name: first.get(name) for name in ("user", "retries", "share", "ok")} == {"user": "till", "retries": 3, "share": 0.5, "ok": False}
        assert first["tags"] == {"values": [{"stringValue": "a"}, {"stringValue": "b"}]}
    await listener.close()
    assert here.metrics()["muster_logs_added_total"] == 2

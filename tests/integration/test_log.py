# SPDX-License-Identifier: MIT
"""Log lines: one per event, whatever clients put into their fields."""

import fcntl
import json
import os
import re
import subprocess
import urllib.parse

import pytest

from lib.node import Node
from lib.process import samples
from lib.sync import SyncClient
from lib.waiting import until

NAME = 'Žižka "1"\n\x1b[31m\\ = x'


def lines_with_name(node):
    return [line for line in node.log().splitlines() if "named" in line]


@pytest.mark.parametrize("log_format", ["json", "text"])
async def test_what_clients_say_stays_in_its_field(yard, log_format):
    node = yard.node(log_format=log_format, log_level="debug")
    client = await SyncClient.connect(node, "/connect?playerName=" + urllib.parse.quote(NAME))
    await until(lambda: lines_with_name(node), "the name is logged")
    await client.close()
    [line] = lines_with_name(node)
    assert "Žižka" in line and "\x1b" not in line
    if log_format == "json":
        entries = [json.loads(text) for text in node.log().splitlines()]
        assert NAME in [entry.get("name") for entry in entries]
        assert all({"time", "level", "msg"} <= set(entry) for entry in entries)
    else:
        assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info |warn |error) \S", text)
                   for text in node.log().splitlines())


class NodeIntoPipe(Node):
    """Its stderr is a pipe that is read when the test says so."""

    def launch(self, command, env=None):
        self.reader, self.writer = os.pipe()
        fcntl.fcntl(self.reader, fcntl.F_SETPIPE_SZ, 4096)
        self.popen = subprocess.Popen(command, env=env, cwd=self.folder, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=self.writer)

    def read_log(self):
        os.set_blocking(self.reader, False)
        text = b""
        while True:
            try:
                text += os.read(self.reader, 65536)
            except BlockingIOError:
                return text.decode()


@pytest.fixture
def piped(tmp_path):
    node = NodeIntoPipe("piped", tmp_path, log_level="debug", log_format="json", relay="", tracker="", dispatch_ports="")
    yield node
    node.kill()
    os.close(node.reader)
    os.close(node.writer)


async def test_a_log_that_nobody_reads_stops_nobody(piped):
    piped.start().ready()

    def dropped():
        return samples(piped.get("/metrics")[1])["muster_log_dropped_total"]

    async def visit(name, times):
        for _ in range(times):
            client = await SyncClient.connect(piped, "/connect?playerName=" + name)
            await client.close()

    while dropped() < 10:
        await visit("n" * 400, 20)
    assert not fcntl.fcntl(piped.writer, fcntl.F_GETFL) & os.O_NONBLOCK  # it is ours as well
    seen = ""
    while "log lines dropped" not in seen:
        seen += piped.read_log()
        await visit("after", 1)
    seen += piped.read_log()
    entries = [json.loads(line) for line in seen.splitlines()]  # each whole
    [gap] = [entry for entry in entries if "dropped" in entry["msg"]]
    assert gap["lines"] >= 10
    assert len(seen) > 256 * 1024

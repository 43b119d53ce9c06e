"""Log lines: one per event, whatever clients put into their fields."""

import asyncio
import json
import re
import urllib.parse

import pytest

from clients import SyncClient
from waiting import until

NAME = 'Žižka "1"\n\x1b[31m\\ = x'


def lines_with_name(node):
    return [line for line in node.log().splitlines() if "named" in line]


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_what_clients_say_stays_in_its_field(yard, log_format):
    node = yard.node(log_format=log_format, log_level="debug")

    async def scenario():
        client = await SyncClient.connect(node, "/connect?playerName=" + urllib.parse.quote(NAME))
        await until(lambda: lines_with_name(node), "the name is logged")
        await client.close()
    asyncio.run(scenario())
    [line] = lines_with_name(node)
    assert "Žižka" in line and "\x1b" not in line
    if log_format == "json":
        entries = [json.loads(text) for text in node.log().splitlines()]
        assert NAME in [entry.get("name") for entry in entries]
        assert all({"time", "level", "msg"} <= set(entry) for entry in entries)
    else:
        assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info |warn |error) \S", text)
                   for text in node.log().splitlines())

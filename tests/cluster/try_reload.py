# SPDX-License-Identifier: MIT
"""Secrets and settings that count without a restart."""

import time

from place import every
from lib.logs import add
from lib.sync import SyncClient, new_session

WITHIN = 180  # seconds: the kubelet looks at Secrets and ConfigMaps about once a minute


async def reload(world, _):
    """A token and the log's level change by helm upgrade, while a client stays connected."""
    release = await world.off(world.release, "reload", secret=world.stores.secret(
        postgres=world.stores.uri("second"), logsAddToken="old", reload=["logs-add-token", "store", "postgres"]))
    pods = {pod["metadata"]["name"] for pod in release.pods()}
    client = await SyncClient.member(release.ways()[0], new_session())
    world.table.row("a token from a file is wanted from the start", str(statuses(release)), statuses(release) == ({200}, {401}))
    began = time.monotonic()
    await world.off(release.upgrade, {"secret": {"logsAddToken": "new"}, "settings": {"log-level": "debug"}})
    await world.off(every, 2, lambda: statuses(release) == ({401}, {200}), "every node wants the new token", WITHIN)
    world.table.row("a Secret changes: the new token counts at every node, without a restart", f"{time.monotonic() - began:.0f} s later")
    await world.off(every, 2, lambda: all("name=log-level" in text or '"name":"log-level"' in text for text in logs(release)),
                    "every node has read its level", WITHIN)
    world.table.row("a ConfigMap changes: the log's level is another", f"{time.monotonic() - began:.0f} s later")
    same = pods == {pod["metadata"]["name"] for pod in release.pods()} and release.restarts() == 0
    await client.send("ping")
    alive = await client.receive() == "pong"
    world.table.row("meanwhile no pod was replaced, and a client stayed", f"{len(pods)} pods", same and alive)
    client.vanish()
    await world.off(release.delete)


def statuses(release):
    """What the old token gets, and the new one, at all nodes."""
    ways = release.ways() * 8  # a Service leads to a node by chance
    return tuple({add(way, [{"msg": "x"}], token)[0] for way in ways} for token in ("old", "new"))


def logs(release):
    return [release.kubectl("logs", pod["metadata"]["name"], "--tail=-1") for pod in release.pods()]

# SPDX-License-Identifier: MIT
"""Devices whose bytes go between nodes, while another Redis takes over: none of their bytes is skipped or doubled, what may have
a hole is closed, and the new server knows the drivers, also one that was promoted before they came."""

import asyncio

import pytest

from lib.dispatch import start_fleet
from lib.waiting import until
from test_dispatch_cluster import leave, reaches_again, torn
from test_logs_fork import lead_to, promote, replica_of


@pytest.mark.parametrize("lags", [False, True])
@pytest.mark.parametrize("whose", ["driver", "device"])
async def test_another_server_takes_over(yard, redis, whose, lags):
    """One node is there at once, the other one stays at the old master for a moment."""
    replica = await asyncio.to_thread(replica_of, yard, redis)
    ways = [yard.proxy(redis), yard.proxy(redis)]
    nodes = start_fleet(yard, [way.url for way in ways])
    if lags:
        promote(replica)  # it never hears of the port, its driver, and what the nodes say of themselves from now on

    async def take_over():
        if not lags:
            promote(replica)
        for at in (0, 1) if whose == "driver" else (1, 0):
            await asyncio.to_thread(lead_to, ways[at], replica)
            await until(lambda at=at: nodes[at].log().count("connected") > 1 and nodes[at].is_ready(), "it is at the new server", 60)

    port, drivers = await torn(nodes, take_over)
    await reaches_again(nodes[1], port, drivers[0])
    await leave(nodes, port, drivers)

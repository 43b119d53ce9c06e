# SPDX-License-Identifier: MIT
"""What another release says: told, counted and answered, never passed over in silence."""

import re

from lib.dispatch import CLOSED, OPENED, Device, Driver, start_fleet, statistics, until_open
from lib.ports import free_port
from lib.process import ROOT, muster
from lib.store import key
from lib.waiting import until, wait_until
from test_settings import assert_not_well

LEASE_US = "60000000"
ONE = "one server"  # a list of servers


def speak(redis, node, writes, reads, verb="+"):
    """Puts a node on the roll of the server, or takes it off (`verb` "-")."""
    script = (ROOT / "store/redis/roll.lua").read_text()
    answer = redis.command("EVAL", script, "1", "muster:roll", verb, node, LEASE_US, str(writes), *map(str, reads), ONE)
    assert not answer.startswith(b"-"), answer


def test_a_node_that_the_fleet_does_not_read_says_so_and_stays_out(yard, redis):
    speak(redis, "far", 4, (3, 4))
    node = yard.begin(store=redis.url)
    wait_until(lambda: node.status("/readyz") == 503 and "the fleet speaks 3 to 4, this node 1 to 2" in node.get("/readyz")[1],
               "it is told")
    assert node.metrics()['muster_wire_unread_total{what="node"}'] > 0
    assert "the fleet speaks 3 to 4, this node 1 to 2" in node.log()
    assert_not_well(muster("check", "--store", redis.url), "the fleet speaks 3 to 4, this node 1 to 2")
    speak(redis, "far", 4, (3, 4), "-")
    node.ready()
    assert "the fleet speaks 1 to 2, this node 1 to 2" in muster("check", "--store", redis.url).stdout


def test_one_that_comes_later_disturbs_nobody(yard, redis):
    node = yard.node(store=redis.url)
    script = (ROOT / "store/redis/roll.lua").read_text()
    answer = redis.command("EVAL", script, "1", "muster:roll", "+", "far", LEASE_US, "3", "3", "4", ONE)
    assert answer.split(b"\r\n")[1] == b"-1 2 1 2;", "it is not let in, and told what this one speaks"
    assert node.is_ready()


def name_of(node):
    return re.search(r"serving node=(\S+)", node.log()).group(1)


def mesh_head(form, name):
    return bytes([form]) + (1).to_bytes(8, "big") + bytes([len(name)]) + name.encode()


async def test_another_form_of_the_mesh_is_answered(yard, redis):
    """Device and driver hear that it cannot go on, and both nodes say why."""
    near, far = start_fleet(yard, [redis.url] * 2)
    port = free_port()
    driver = await Driver.connect(far, port)
    await until_open([near, far], port)
    await until(lambda: statistics(near)["tcp_listeners"].get(str(port)) == 1, "the driver is known")
    device = await Device.connect(near, port)
    await driver.expect(OPENED)
    frame = bytes([3]) + bytes(8 + 4 + 4)
    redis.command("PUBLISH", key("b", f"dispatch:node:{name_of(near)}"),
                  f"1 {name_of(far)} 99\n".encode() + mesh_head(2, name_of(far)) + frame)
    wait_until(lambda: near.metrics()['muster_wire_unread_total{what="mesh"}'] == 1, "it is counted")
    wait_until(lambda: far.metrics()['muster_wire_unread_total{what="mesh"}'] == 1, "and answered")
    assert "a node cannot read what this one says, devices cut off" in far.log()
    assert "a node speaks another form of the mesh, devices cut off" in near.log()
    await device.at_end()
    await driver.expect(CLOSED)
    redis.command("PUBLISH", key("b", f"dispatch:node:{name_of(far)}"),
                  f"1 {name_of(near)} 99\n".encode() + mesh_head(2, name_of(near)))
    wait_until(lambda: far.metrics()['muster_wire_unread_total{what="mesh"}'] == 2, "it is heard")
    assert near.metrics()['muster_wire_unread_total{what="mesh"}'] == 1, "an answer is not answered"
    await driver.close()

"""A device whose node is not known yet: what is on one of two Redis servers comes later than what is on the other."""

import asyncio
import struct

from dispatch import CLOSED, OPENED, Device, Driver, free_port, start_fleet, until_closed, until_open
from waiting import wait_until, within


class TwoServers:
    """A node whose way to either server can be slow; other nodes have a good one."""

    def __init__(self, yard):
        self.yard = yard
        self.servers = [yard.redis(), yard.redis()]
        self.proxies = [yard.proxy(server) for server in self.servers]

    def start_near(self):
        [node] = start_fleet(self.yard, [",".join(proxy.url for proxy in self.proxies)], lease="20s")
        return node

    def start_far(self):
        [node] = start_fleet(self.yard, [",".join(server.url for server in self.servers)], lease="20s", first=1)
        return node

    def where(self, question, thing):
        """The number of the server whose answer has that in it."""
        return wait_until(lambda: [i for i in range(2) if thing in self.servers[i].command(*question)],
                          f"{thing} is there")[0]

    def late(self):
        """The way to the server that tells which nodes there are, when what the near one is told comes on the other."""
        nodes = self.where(["KEYS", "*"], b"dispatch:nodes")
        hears = self.where(["PUBSUB", "CHANNELS"], b"dispatch:node:")
        return self.proxies[nodes] if hears != nodes else None


def test_a_device_may_come_before_its_node_is_known(yard):
    two = TwoServers(yard)
    near = two.start_near()
    while (late := two.late()) is None:  # the name, chosen at random, decides
        yard.dismiss(near)
        near = two.start_near()

    async def scenario():
        port = free_port()
        driver = await Driver.connect(near, port)
        late.freeze()
        far = two.start_far()
        await until_open([far], port)
        device = await Device.connect(far, port)
        await device.send(b"from the device")
        await asyncio.sleep(0.5)
        late.thaw()
        opened = await driver.expect(OPENED)
        assert await driver.data_of(opened.id, 15) == b"from the device"
        await driver.write(opened, b"from a driver")
        assert await device.read(13) == b"from a driver"
        device.close()
        assert (await driver.next()).type == CLOSED
        await driver.close()
        await until_closed([near, far], port)
    asyncio.run(scenario())


class Stranger:
    """Speaks to a node over the bus and stands in no roster. The messages: node/proto/dispatch_mesh.h."""

    NAME = b"stranger"
    OPEN, DATAGRAM, LOST = 0, 4, 9
    KEPT = 1 << 20  # bytes of messages that wait for their node to be known
    ADDRESS = bytes(2 + 16 + 2)

    def __init__(self, redis):
        self.redis = redis
        [self.to_node] = wait_until(self.topics, "the node hears its topic")

    def topics(self):
        answer = self.redis.command("PUBSUB", "CHANNELS", "*dispatch:node:*")
        return [line for line in answer.split(b"\r\n") if b"dispatch:node:" in line]

    async def listen(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.redis.port)
        before, _, self.node = self.to_node.partition(b"dispatch:node:")
        self.writer.write(b"SUBSCRIBE " + before + b"dispatch:node:" + self.NAME + b"\r\n")
        await within(self.reader.readuntil(b":1\r\n"), "it is subscribed")

    def message(self, type_, leg, body):
        return (struct.pack(">BQB", 1, 1, len(self.NAME)) + self.NAME +
                struct.pack(">BQII", type_, leg, 0, len(body)) + body)

    def say(self, message):
        self.redis.command("PUBLISH", self.to_node, self.NAME + b" 1 " + message)

    async def leg_refused(self):
        """The next leg that is lost."""
        await within(self.reader.readuntil(self.node + bytes([self.LOST])), "an answer")
        return struct.unpack(">Q", await within(self.reader.readexactly(8), "its leg"))[0]


def test_a_node_that_stays_unknown_is_refused(yard, redis):
    """What it says is kept for seconds, and as far as there is room."""
    [node] = start_fleet(yard, [redis.url])
    stranger = Stranger(redis)

    def opening(leg):
        return stranger.message(stranger.OPEN, leg, struct.pack(">Q", leg) + stranger.ADDRESS)

    async def scenario():
        await stranger.listen()
        room = stranger.KEPT - len(opening(0)) - len(stranger.message(stranger.DATAGRAM, 0, stranger.ADDRESS))
        stranger.say(opening(5))
        stranger.say(stranger.message(stranger.DATAGRAM, 0, stranger.ADDRESS + bytes(room - 1)))
        stranger.say(opening(6))
        assert [await stranger.leg_refused(), await stranger.leg_refused()] == [6, 5], "6 found no room, 5 had its time"
        stranger.say(opening(7))
        assert await stranger.leg_refused() == 7
        assert node.log().count("nodes spoke that could not be answered") == 2
        stranger.writer.close()
    asyncio.run(scenario())

"""The links between clients and nodes: TCP proxies that can be cut, frozen and slowed, and what a client may say of its
way through them."""

import asyncio

from cluster import Proxy, free_port


class Door(Proxy):
    """All TCP ways to one place. What is done to it is done to each of them; a reader that stops is felt behind it."""

    def __init__(self, name):
        super().__init__(None)
        self.name = name
        self.ways = {}  # own port to (host, port)

    def lead_to(self, port, host="127.0.0.1"):
        """Before start(). Returns the port that leads there from now on; the first one is the door's own."""
        own = self.port if not self.ways else free_port()
        self.ways[own] = host, port
        return own

    def ws(self, path):
        return f"ws://127.0.0.1:{self.port}{path}"

    async def _listen(self):
        self._flowing = asyncio.Event()
        self._flowing.set()
        for own in self.ways:
            await asyncio.start_server(self._serve, "127.0.0.1", own)

    async def _connect(self, link):
        own = link.client_writer.get_extra_info("sockname")[1]
        reader, link.server_writer = await asyncio.open_connection(*self.ways[own])
        link.downstream = asyncio.ensure_future(self._pump_down(link, reader))

    async def _pump_up(self, link):
        await self._pump(link.client_reader, link.server_writer)
        await asyncio.wait([link.downstream])

    async def _pump_down(self, link, reader):
        try:
            await self._pump(reader, link.client_writer)
            link.client_writer.close()  # with all that was said
        except OSError:
            link.client_writer.transport.abort()

    async def _pump(self, reader, writer):
        while data := await reader.read(65536):
            if self.delay:
                await asyncio.sleep(self.delay)
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()


class Visit:
    """One client's way to a node, and whether anything on it gave the client a reason to be disconnected."""

    def __init__(self, world, number, how):
        self.world, self.number, self.how = world, number, how
        self.before, self.hurting = dict(world.harmed), set(world.hurting)
        node, door = world.nodes[number], world.doors[number] if world.doors else None
        self.place = {"straight": node, "door": door, "balanced": world.front or world.balancer}[how]
        self.harmable = {"straight": [node.name], "door": [node.name, f"door {number}"], "balanced": ["front"]}[how]

    def ws(self, path):
        return self.place.ws(path)

    def port(self, service):
        """Of a TCP service, as a play's streams() names it."""
        return self.world.service_port(service, self.number, self.how)

    def arrived(self, headers):
        """The balancer's answer names the node."""
        if self.how == "balanced" and "X-Node" in headers:
            self.harmable.append(headers["X-Node"])

    def where(self):
        return f"{'+'.join(self.harmable)}"

    def excused(self):
        """Something was done to the node or to the way, when the client set out or since."""
        return any(name in self.hurting or self.world.harmed.get(name) != self.before.get(name)
                   for name in self.harmable)

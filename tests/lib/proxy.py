# SPDX-License-Identifier: MIT
"""The one TCP proxy of the tests: a thread of its own, ways to one place or to several, and faults of the network."""

import asyncio
import ssl
import threading

from lib.ports import free_port

CHUNK = 65536


class Link:
    """One client of the proxy and its way to the server."""

    def __init__(self, client_reader, client_writer):
        self.client_reader = client_reader
        self.client_writer = client_writer
        self.server_writer = None
        self.downstream = None
        self.subscribes = False
        self.held = None  # an event that ends the wait
        self.last_byte = 0.0

    def close(self):
        if self.downstream is not None:
            self.downstream.cancel()
        for writer in (self.client_writer, self.server_writer):
            if writer is not None:
                writer.transport.abort()


class Proxy:
    """Leads from `port` to `target_port`. What is done to it is done to each of its ways. A proxy that looks into what
    passes derives from it and has `on_up` and `on_down`: they get a link and what came, and return what goes on; None
    cuts the link instead."""

    QUIET = 0.05  # seconds without a byte: between two requests

    def __init__(self, target_port=None, name="proxy", tls=None):
        self.name = name
        self.port = free_port()
        self.ways = {}  # own port to (host, port)
        self.tls = tls  # a context: clients speak TLS
        self.delay = 0.0
        self.bytes_up = 0
        self.bytes_down = 0
        self._links = set()
        self._refusing = False
        self._loop = asyncio.new_event_loop()
        self._flowing = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        if target_port is not None:
            self.lead_to(target_port)

    def lead_to(self, port, host="127.0.0.1"):
        """Before start(). Returns the port that leads there from now on; the first one is the proxy's own."""
        own = self.port if not self.ways else free_port()
        self.ways[own] = host, port
        return own

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def ws(self, path):
        return f"ws://127.0.0.1:{self.port}{path}"

    @property
    def links(self):
        return len(self._links)

    def start(self):
        self._thread.start()
        self._call(self._listen())
        return self

    def stop(self):
        if self._loop.is_running():
            self._call(self._end_tasks())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    # --- faults

    def cut(self):
        """Resets every link and each new one, until mend()."""
        self._refusing = True
        self._call(self._close_all())

    def mend(self):
        self._refusing = False

    def drop_links(self):
        """Resets what is open now; new links are served."""
        self._call(self._close_all())

    def freeze(self):
        """Connections stay open, bytes stop, until thaw()."""
        self._call(self._set_flowing(False))

    def thaw(self):
        self._call(self._set_flowing(True))

    def hold(self):
        """Of the links that are open now no byte moves until let_go(), even when their client gives them up; new ones
        are served. So does a network that has lost packets and sends them again later."""
        self._call(self._hold_all())

    def let_go(self):
        """True when nothing is held any more."""
        return self._call(self._let_go_all())

    def switch(self, target_port):
        """Open links lead to another server from now on; the client sees nothing of it."""
        self.ways[self.port] = "127.0.0.1", target_port
        self._call(self._switch_all())

    def move(self, target_port):
        """New links lead to another server; of the open ones only subscribers stay where they were."""
        self.ways[self.port] = "127.0.0.1", target_port
        self._call(self._close_all(lambda link: not link.subscribes))

    # --- for a proxy that looks into what passes

    def on_up(self, link, data):
        """From the client to the server."""
        return data

    def on_down(self, link, data):
        """From the server to the client."""
        return data

    # --- in the proxy's thread

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    async def _listen(self):
        self._flowing = asyncio.Event()
        self._flowing.set()
        for own in self.ways:
            await asyncio.start_server(self._serve, "127.0.0.1", own, ssl=self.tls)

    async def _set_flowing(self, flowing):
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _close_all(self, which=lambda link: True):
        for link in [link for link in self._links if which(link)]:
            self._links.discard(link)
            link.close()

    async def _hold_all(self):
        for link in self._links:
            link.held = asyncio.Event()

    async def _let_go_all(self):
        for link in self._links:
            if link.held is not None:
                link.held.set()
        return all(link.held is None for link in self._links)

    async def _end_tasks(self):
        await self._close_all()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _switch_all(self):
        for link in list(self._links):
            while self._loop.time() - link.last_byte < self.QUIET:
                await asyncio.sleep(self.QUIET)
            link.downstream.cancel()
            link.server_writer.transport.abort()
            await self._connect(link)

    async def _serve(self, reader, writer):
        if self._refusing:
            writer.transport.abort()
            return
        link = Link(reader, writer)
        try:
            await self._connect(link)
        except OSError:
            link.close()
            return
        self._links.add(link)
        try:
            await self._pump_up(link)
        except OSError:
            pass
        self._links.discard(link)
        link.close()

    async def _connect(self, link):
        own = link.client_writer.get_extra_info("sockname")[1]
        server_reader, link.server_writer = await asyncio.open_connection(*self.ways[own])
        link.downstream = asyncio.ensure_future(self._pump_down(link, server_reader))

    async def _pass(self, link):
        link.last_byte = self._loop.time()
        if self.delay:
            await asyncio.sleep(self.delay)
        await self._flowing.wait()
        if link.held is not None:
            await link.held.wait()

    async def _pump_up(self, link):
        """Returns when both ways have ended; the client may end its own before."""
        while data := await link.client_reader.read(CHUNK):
            await self._pass(link)
            link.subscribes = link.subscribes or b"SUBSCRIBE" in data.upper()
            if (data := self.on_up(link, data)) is None:
                return
            self.bytes_up += len(data)
            link.server_writer.write(data)
            await link.server_writer.drain()
        if link.server_writer.can_write_eof() and not link.server_writer.is_closing():
            link.server_writer.write_eof()
        await asyncio.wait([link.downstream])

    async def _pump_down(self, link, server_reader):
        """Ends the client's connection where the server ended its own: with all that it said, or as hard."""
        try:
            while data := await server_reader.read(CHUNK):
                await self._pass(link)
                if (data := self.on_down(link, data)) is None:
                    link.close()
                    return
                self.bytes_down += len(data)
                link.client_writer.write(data)
                await link.client_writer.drain()
            link.client_writer.close()
        except OSError:
            link.client_writer.transport.abort()


class TlsFront(Proxy):
    """TLS in front of a node, as an ingress has it."""

    def __init__(self, target, folder, own="server"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / f"{own}.pem", folder / f"{own}.key")
        super().__init__(target.port, f"TLS front ({own})", tls=context)

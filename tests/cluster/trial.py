# SPDX-License-Identifier: MIT
"""What the tries share: the stores, the image, the keys of tokens, and the table of promises."""

import asyncio
import contextlib
import os
import shlex
import time

from crowd import Six
from place import OURS, TCP_PORT, UDP_PORT, Release, laid_over, run
from lib.progress import Progress
from lib.process import ROOT
from lib.tokens import Key
from stores import Stores

IMAGE = "muster:kube-try"


class Table:
    """Promises, each with the figure that was seen; a try that stumbles is a promise that was broken."""

    def __init__(self, progress):
        self.progress, self.rows, self.skipped = progress, [], []

    def row(self, promise, figure, kept=True):
        self.rows.append((promise, str(figure), kept))
        self.progress.line(f"  {'kept' if kept else 'BROKEN'}: {promise}: {figure}")
        return kept

    def skip(self, promise, why):
        self.skipped.append((promise, why))
        self.progress.line(f"  not tried: {promise}: {why}")

    def kept(self):
        return all(kept for _, _, kept in self.rows)

    def text(self):
        lines = ["", "| promise | figure | |", "| --- | --- | --- |"]
        lines += [f"| {promise} | {figure} | {'kept' if kept else '**broken**'} |" for promise, figure, kept in self.rows]
        lines += [f"| {promise} | {why} | not tried |" for promise, why in self.skipped]
        return "\n".join(lines)


class World:
    """`release()` makes one; what is made goes with close()."""

    def __init__(self, progress=None):
        self.progress = progress or Progress()
        self.table = Table(self.progress)
        self.key = Key("ES256")
        self.image = os.environ.get("KUBE_IMAGE", "")
        self.stores = Stores()
        self.places = []

    # -------------------------------------------------------------------------------- images

    def load(self, image):
        """To where pods find it: KUBE_LOAD with the image's name behind it, such as `kind load docker-image`."""
        if os.environ.get("KUBE_LOAD"):
            run(*shlex.split(os.environ["KUBE_LOAD"]), image, limit=1200)

    def build(self):
        if not self.image:
            self.progress.begin("building the image")
            run("docker", "build", "-q", "--network", "host", "-t", IMAGE, ROOT, limit=3600)
            self.image = IMAGE
            self.load(self.image)

    # -------------------------------------------------------------------------------- releases

    def values(self, **more):
        repository, _, tag = self.image.rpartition(":")
        ports = {"service": {"type": "NodePort"}}
        return laid_over({
            "image": {"repository": repository, "tag": tag}, "secret": self.stores.secret(),
            "service": {"type": "NodePort"}, "relay": ports, "tracker": ports,
            "dispatch": {**ports, "ports": [{"port": TCP_PORT}, {"port": UDP_PORT, "protocol": "UDP"}]},
            "chatKeys": {"pem": self.key.pem().decode()}, "settings": {"chat-history": 1000}}, more)

    def release(self, part="games", labels=None, **more):
        """In a namespace of its own, installed and ready."""
        release = Release(f"{OURS}-{part}", self.values(**more))
        self.places.append(release)
        release.delete()
        release.make(labels)
        return release.install().ready()

    def six(self, release, stores=None):
        return Six(release, self.key, stores or self.stores, release.token())

    @contextlib.asynccontextmanager
    async def serving(self, release, promise):
        """What is done within leaves all six protocols as they were."""
        yield
        began = time.monotonic()
        failed = await self.six(release).all()
        self.table.row(f"{promise}: all six protocols", failed or f"6 of 6 in {time.monotonic() - began:.1f} s", not failed)

    async def off(self, call, *words, **options):
        """A call that takes long, beside the clients."""
        return await asyncio.to_thread(call, *words, **options)

    def open_stores(self):
        """For all but the drills, which have their own."""
        self.places.append(self.stores)
        self.stores.make().ready()
        self.stores.psql("create database second")

    def close(self):
        for place in self.places:
            with contextlib.suppress(Exception):
                place.delete()

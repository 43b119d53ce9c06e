# SPDX-License-Identifier: MIT
"""What an operator does on purpose: install, test, update, go back, scale, empty a machine, uninstall."""

import asyncio
import contextlib
import pathlib
import shutil
import tempfile
import time

import yaml

from crowd import Asking, Crowd, Talkers, own_address
from place import CHART, OURS, RESTRICTED, Failed, Release, every, machines, run
from lib.logs import Producer, judge
from lib.process import ROOT
from lib.sync import SyncClient, new_session
from lib.tcp import HttpClient
from lib.tracker import Peer

CLIENTS = 500
BACK_WITHIN = 10.0  # seconds; the machine that runs all this is a busy one


def spread(release):
    """How many pods each machine has."""
    on = [pod["spec"]["nodeName"] for pod in release.pods()]
    return sorted(on.count(name) for name in set(on))


def is_even(release):
    counts = spread(release)
    return len(counts) == min(len(machines()), sum(counts)) and counts[-1] - counts[0] <= 1


async def install(world, _):
    """As the chart's README says, with --set alone."""
    release = Release(f"{OURS}-readme", {}, name="muster")
    world.places.append(release)
    await world.off(release.delete)
    repository, _, tag = world.image.rpartition(":")
    began = time.monotonic()
    await world.off(release.helm, "install", "muster", CHART, "--create-namespace", "--set", f"image.repository={repository}", "--set",
                    f"image.tag={tag}", "--set", f"secret.store={world.stores.url()}", "--set", f"secret.postgres={world.stores.uri()}",
                    "--set-string", "settings.logs-bound=1000000")
    await world.off(release.ready)
    world.table.row("installed as the README says: all pods ready", f"{time.monotonic() - began:.0f} s", release.restarts() == 0)
    said = await world.off(release.helm, "test", "muster")
    world.table.row("`helm test` passes", "passed", "Phase:          Succeeded" in said)
    env = {entry["name"] for pod in release.pods() for one in pod["spec"]["containers"] for entry in one["env"]}
    world.table.row("pods that face clients have no URI of PostgreSQL", f"{len(env)} variables", "MUSTER_POSTGRES" not in env)
    world.table.row("one pod on each machine", spread(release), is_even(release))
    limits = {release.metrics(pod["metadata"]["name"])["muster_memory_limit_bytes"] for pod in release.pods()}
    world.table.row("a node knows its container's memory limit", f"{max(limits) / 2 ** 20:.0f} MiB of 1 Gi",
                    max(limits) <= 0.91 * 2 ** 30)
    await world.off(release.uninstall)
    kept = [one["metadata"]["name"] for one in release.items("secrets")]
    await world.off(every, 2, lambda: not release.pods(living=False), "its pods are gone", 120)
    left = [one["metadata"]["name"] for one in release.items("all")]
    world.table.row("uninstalled: nothing is left but the drivers' token", f"{left} {kept}", not left and kept == ["muster-dispatch"])
    await world.off(release.delete)


async def numbers(world, release):
    """Whole numbers of a values file from a million on."""
    await world.off(release.upgrade, {"settings": {"logs-bound": 2000000}, "autoscaling": {"targetConnections": 3000000}})
    await world.off(release.ready)
    env = {entry["name"]: entry.get("value") for one in release.pods()[0]["spec"]["containers"] for entry in one["env"]}
    world.table.row("2000000 in a values file is 2000000 in a pod", env.get("MUSTER_LOGS_BOUND"), env.get("MUSTER_LOGS_BOUND") == "2000000")


def kept_alive(way):
    """Asks on one HTTP connection, and makes another when told `Connection: close`, as every client does."""
    clients = []

    def ask():
        client = clients.pop() if clients else HttpClient(way.port, host=way.host)
        answer = client.ask(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.status == 200, answer.status
        if answer.headers.get("connection", "") == "close":
            client.close()
        else:
            clients.append(client)
    return ask


def peer_of(way):
    """Asks as a peer does, once a time; the address is its own all the while."""
    peer = Peer(way, way.host, own_address(way))
    peer.announce()

    def ask():
        peer.send({"action": "alive"})
        assert peer.read(1.0) is not None, "no answer"
    return ask


class Around:
    """A crowd, chat, log entries, peers and HTTP clients around what is done to a release; says what they saw."""

    def __init__(self, world, release, count=CLIENTS):
        self.world, self.release, self.count = world, release, count

    async def __aenter__(self):
        ways = self.release.ways()
        self.crowd = await Crowd(ways, self.count).start()
        self.talkers = await Talkers(ways, self.world.key).start()
        self.producer = Producer(ways, new_session()[:6])
        self.producer.start()
        self.http = [Asking(kept_alive(way)) for way in ways]
        self.peers = [Asking(peer_of(way)) for way in ways]
        for thread in (*self.http, *self.peers):
            thread.start()
        return self

    async def __aexit__(self, kind, *_):
        if kind is None:
            await self.crowd.all_in()
        for thread in (*self.http, *self.peers):
            await self.world.off(thread.stop)
        await self.world.off(self.producer.stop)
        await self.talkers.stop()
        await self.crowd.stop()

    def say(self, name, codes=(1001,)):
        """What is promised of every change."""
        crowd = self.crowd
        self.world.table.row(f"{name}: {self.count} clients are {'told to go (1001)' if codes == (1001,) else 'cut'}, and are back", crowd.said(),
                             set(crowd.codes) <= set(codes) and crowd.slowest() < BACK_WITHIN)

    def say_gentle(self, name, everywhere=True):
        """And of one on purpose. `everywhere`: each machine had a pod all the while."""
        row = self.world.table.row
        missing = self.talkers.missing()
        row(f"{name}: chat messages are heard, or answered with an error",
            f"{len(self.talkers.said)} said, {len(missing)} not heard, {self.talkers.refused} refused", len(missing) <= self.talkers.refused)
        cut = [failure for thread in self.http for failure in thread.failures]
        row(f"{name}: kept-alive HTTP connections are not cut in a request",
            f"{sum(thread.asked for thread in self.http)} requests, {len(cut)} cut {cut[:1] or ''}", not cut)
        silent = sum(len(thread.failures) for thread in self.peers)
        if not everywhere:
            return
        row(f"{name}: peers of the tracker are answered", f"{sum(thread.asked for thread in self.peers)} asked, {silent} without an answer, "
            f"longest silence {max(thread.longest for thread in self.peers):.1f} s", max(thread.longest for thread in self.peers) < 5)

    async def stored(self, name):
        try:
            await self.world.off(judge, self.world.stores, [self.producer])
            kept = True
        except AssertionError as failure:
            kept = f"{failure}"
        self.world.table.row(f"{name}: log entries that were accepted are stored, once", f"{len(self.producer.accepted)} accepted, "
                             f"{self.producer.refusals} refused{'' if kept is True else ': ' + kept}", kept is True)


async def rollout(world, release):
    """With 500 clients: one pod more at a time, then all new ones before the first old one ends."""
    for surge, name in ((1, "rollout"), ("100%", "rollout, surge 100 %")):
        await world.off(release.upgrade, {"node": {"strategy": {"rollingUpdate": {"maxSurge": surge}}}})
        async with Around(world, release) as around:
            began = time.monotonic()
            await world.off(release.kubectl, "rollout", "restart", f"deployment/{release.full}-node", f"deployment/{release.full}-sink")
            await world.off(release.ready)
            done = time.monotonic() - began
            await world.off(every, 1, lambda: len(release.pods(living=False)) == len(release.pods()), "the old pods are gone", 180)
            gone = time.monotonic() - began
        around.say(name)
        around.say_gentle(name)
        await around.stored(name)
        world.table.row(f"{name}: how long", f"new pods ready after {done:.0f} s, the last old one gone after {gone:.0f} s")
        world.table.row(f"{name}: one pod on each machine after it", spread(release), is_even(release))
    await world.off(release.upgrade, {"node": {"strategy": {"rollingUpdate": {"maxSurge": 1}}}})


async def upgrade(world, release):
    """Other settings, and back; the token that the chart made up stays."""
    token = release.token()
    async with world.serving(release, "after an upgrade and its rollback"):
        await world.off(release.upgrade, {"settings": {"keep-alive": "60s"}})
        await world.off(release.ready)
        await world.off(release.roll_back)
        await world.off(release.ready)
    world.table.row("upgraded and rolled back: the drivers' token stays", "the same", release.token() == token)
    world.table.row("upgraded and rolled back: one pod on each machine", spread(release), is_even(release))


def has_metrics():
    with contextlib.suppress(Failed):
        return bool(run("kubectl", "get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes"))
    return False


async def autoscaling(world, release):
    """Switched on and off in a live fleet, and followed under load where there is a metrics-server."""
    before = release.wanted()
    crowd = await Crowd(release.ways(), 100).start()
    lowest = []
    watch = asyncio.ensure_future(sample(lambda: len([pod for pod in release.pods() if pod["status"]["phase"] == "Running"]), lowest))
    # On a busy machine pods may be added at once, for what starting costs; those that end again would close clients.
    busy = {"autoscaling": {"enabled": True, "targetCPUPercent": 2, "maxReplicas": before + 2,
                            "behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}}
    await world.off(release.upgrade, busy)
    await asyncio.sleep(20)
    world.table.row("autoscaling is switched on: nobody is moved", f"{before} pods, then {min(lowest)} at least; {sum(crowd.codes.values())} "
                    "of 100 clients closed", min(lowest) >= before and not crowd.codes)
    if has_metrics():
        load = [Asking(kept_alive(way), pause=0) for way in release.ways() * 2]
        for one in load:
            one.start()
        took = await world.off(every, 3, lambda: release.wanted() > before, "the autoscaler adds pods", 240)
        for one in load:
            await world.off(one.stop)
        world.table.row("under load pods are added", f"{before} to {release.wanted()} after {took:.0f} s")
    else:
        world.table.skip("under load pods are added", "no metrics-server")
    await world.off(release.upgrade, {"autoscaling": {"enabled": False}, "node": {"replicas": before}})
    await world.off(release.ready)
    await crowd.all_in()
    world.table.row("switched off again: as many as node.replicas says", release.wanted(), release.wanted() == before)
    watch.cancel()
    await crowd.stop()


async def sample(ask, into):
    while True:
        into.append(await asyncio.to_thread(ask))
        await asyncio.sleep(0.5)


async def releases(world, release):
    """A second release on the same Redis, in a namespace that holds pods to the restricted profile."""
    other = await world.off(world.release, "second", labels=RESTRICTED, secret=world.stores.secret(postgres=world.stores.uri("second")))
    world.table.row("a second release, under restricted Pod Security: all pods run", f"{len(other.pods())} nodes", other.restarts() == 0)
    session = new_session()
    one, two = await SyncClient.member(release.ways()[0], session), await SyncClient.member(other.ways()[0], session)
    world.table.row("two releases on one Redis are two fleets", f"each sees {one.states()[-1].players} member",
                    one.states()[-1].players == 1 and two.states()[-1].players == 1)
    one.vanish()
    two.vanish()
    await world.off(other.uninstall)
    await world.off(other.delete)


async def drain(world, release):
    """A machine is emptied with kubectl drain."""
    name = release.pods()[0]["spec"]["nodeName"]
    if len(machines()) < 2:
        world.table.skip("a machine is emptied", "there is one machine only")
        return
    async with Around(world, release, 100) as around:
        try:
            await world.off(run, "kubectl", "drain", name, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=240s",
                            "--pod-selector", f"tried-in={release.namespace}")
            await world.off(release.ready)
        finally:
            await world.off(run, "kubectl", "uncordon", name)
    around.say("a machine is drained")
    around.say_gentle("a machine is drained", everywhere=False)
    await around.stored("a machine is drained")


def plain_copy(folder, image):
    """k8s/ with the image's name changed, as its user changes it."""
    at = pathlib.Path(folder) / "k8s"
    shutil.copytree(ROOT / "k8s", at)
    repository, _, tag = image.rpartition(":")
    kustomization = yaml.safe_load((at / "kustomization.yaml").read_text())
    kustomization["images"][0].update(newName=repository, newTag=tag)
    (at / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return at


async def plain(world, _):
    """`kubectl apply -k k8s/`, and once more, which changes nothing."""
    release = Release("muster", {}, name="muster")
    with tempfile.TemporaryDirectory() as folder:
        at = plain_copy(folder, world.image)
        began = time.monotonic()
        await world.off(run, "kubectl", "apply", "-k", at)
        await world.off(release.ready)
        world.table.row("`kubectl apply -k k8s/`: everything is ready", f"{time.monotonic() - began:.0f} s", release.restarts() == 0)
        before = {pod["metadata"]["name"] for pod in release.pods()}
        await world.off(run, "kubectl", "apply", "-k", at)
        await world.off(release.ready)
        world.table.row("applied again: no pod is made again", f"{len(before)} pods", before == {pod["metadata"]["name"] for pod in release.pods()})
        world.table.row("`kubectl diff -k k8s/` finds nothing", "nothing", run("kubectl", "diff", "-k", at, check=False) == "")
        await world.off(run, "kubectl", "delete", "-k", at, "--timeout=240s")

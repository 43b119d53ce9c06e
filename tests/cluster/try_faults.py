# SPDX-License-Identifier: MIT
"""What nobody does on purpose: pods deleted by force, Redis, PostgreSQL and name servers away, a machine cut off, memory."""

import asyncio
import concurrent.futures
import contextlib
import os
import shlex
import socket
import time

from crowd import Crowd, answer_pings
from place import Failed, Place, every, is_ready, machines, run
from lib.frames import RawWebSocket, deaf_pair
from lib.sync import SyncClient, members, new_session, push
from lib.tcp import Closed
from lib.waiting import until, until_true
from try_change import Around

AWAY = 60  # seconds
AT_ONCE = 12
DEAF = 300
PIECE = "x" * 100_000  # what each of the deaf is sent, as often as leaves him connected


async def force_delete(world, release):
    """The pod is gone at once; its machine kills it without asking."""
    ways = release.ways()
    session = new_session()
    together = [await SyncClient.member(way, session) for way in ways + ways]
    await together[0].in_state(len(together), False)
    pods = release.pods()
    victim = max(pods, key=lambda pod: release.metrics(pod["metadata"]["name"])["muster_sync_members"])["metadata"]["name"]
    there = int(release.metrics(victim)["muster_sync_members"])
    closed = [asyncio.ensure_future(client.closed(300)) for client in together]
    async with Around(world, release, 100) as around:
        began = time.monotonic()
        await world.off(release.kubectl, "delete", "pod", victim, "--grace-period=0", "--force")
        await until(lambda: sum(one.done() for one in closed) == there, "its clients are cut", 60)
        cut = time.monotonic()
        seen = await SyncClient.member(release.ways()[0], session)
        await seen.in_state(len(together) - there + 1, False)
        told = time.monotonic() - cut
        await world.off(release.ready)
    world.table.row("a pod is deleted by force: the others know it", f"{told:.1f} s after its clients were cut, "
                    f"{cut - began:.1f} s after the command", told < 15)
    around.say("a pod is deleted by force", codes=(1001, 1006))
    await around.stored("a pod is deleted by force")
    for one in closed:
        one.cancel()
    for client in [*together, seen]:
        client.vanish()


async def redis_deleted(world, release):
    """Its pod is deleted, another comes, empty."""
    ways = release.ways()
    session = new_session()
    together = await members((ways * 3)[:3], session)
    restarts = release.restarts()
    crowd = await Crowd(ways, 100).start()
    await world.off(world.stores.away, "redis")
    await asyncio.sleep(AWAY)
    began = time.monotonic()
    await world.off(world.stores.back, "redis")
    newcomer = await comes(ways[0], session)
    await newcomer.in_state(4, False)
    world.table.row(f"Redis deleted, {AWAY} s away, back empty: sessions are right again", f"{time.monotonic() - began:.1f} s after its return began")
    world.table.row("Redis deleted: nobody is disconnected", f"{sum(crowd.codes.values())} of 100 closed", not crowd.codes)
    world.table.row("Redis deleted: no pod is started again", release.restarts() - restarts, release.restarts() == restarts)
    for client in [*together, newcomer]:
        client.vanish()
    await crowd.stop()
    await world.off(release.ready)


async def comes(way, session):
    """A member, as soon as some pod is ready: until then Kubernetes refuses."""
    came = []

    async def tried():
        with contextlib.suppress(OSError):
            came.append(await SyncClient.member(way, session))
        return came
    await until_true(tried, "a newcomer is let in", 120)
    return came[0]


async def postgres_deleted(world, release):
    """And while it is away the release is upgraded and scaled; its tables stay."""
    before = release.wanted()
    async with Around(world, release, 100) as around:
        began = time.monotonic()
        await world.off(world.stores.away, "postgres")
        await world.off(release.upgrade, {"settings": {"keep-alive": "50s"}, "node": {"replicas": before + 1}})
        await world.off(release.rolled_out, f"deployment/{release.full}-node")
        nodes = time.monotonic() - began
        waits = await world.off(every, 2, lambda: sink_says(release), "the log of a new sink says what it waits for", 120)
        await asyncio.sleep(max(0, AWAY - (time.monotonic() - began)))
        refused = around.producer.refusals
        await world.off(world.stores.back, "postgres")
        await world.off(release.ready)
    world.table.row("PostgreSQL deleted: an upgrade and scaling go on", f"nodes new and ready after {nodes:.0f} s, new sinks say after {waits:.0f} s what "
                    "they wait for")
    world.table.row("PostgreSQL deleted: entries are taken all the while", f"{refused} requests refused", refused == 0)
    await around.stored("PostgreSQL deleted")
    world.table.row("PostgreSQL deleted: no pod is started again", release.restarts(), release.restarts() == 0)
    await world.off(release.upgrade, {"node": {"replicas": before}})
    await world.off(release.ready)


def sink_says(release):
    for pod in release.pods("sink"):
        with contextlib.suppress(Failed):
            if "postgres" in release.kubectl("logs", pod["metadata"]["name"], "-c", "migrate", "--tail=5").lower():
                return True
    return False


async def names_away(world, release):
    """No name server answers; the stores go away and come back meanwhile, so that names are asked for."""
    dns = Place("kube-system")
    found = dns.items("deployments", "k8s-app=kube-dns")
    if not found:
        world.table.skip("no name server", "none with the label k8s-app=kube-dns")
        return
    name, count = f"deployment/{found[0]['metadata']['name']}", found[0]["spec"]["replicas"]
    restarts = release.restarts()
    crowd = await Crowd(release.ways(), 100).start()
    await world.off(dns.kubectl, "scale", name, "--replicas=0")
    try:
        await world.off(world.stores.redis, "client", "kill", "type", "normal")
        await world.off(world.stores.redis, "client", "kill", "type", "pubsub")
        world.stores.psql("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()", check=False)
        await asyncio.sleep(90)  # more than three probes of liveness take
    finally:
        await world.off(dns.kubectl, "scale", name, f"--replicas={count}")
        await world.off(dns.rolled_out, name)
    await world.off(release.ready)
    world.table.row("no name server for 90 s: no pod is started again", release.restarts() - restarts, release.restarts() == restarts)
    world.table.row("no name server: nobody is disconnected", f"{sum(crowd.codes.values())} of 100 closed", not crowd.codes)
    await crowd.stop()
    failed = await world.six(release).all()
    world.table.row("no name server: afterwards all six protocols", failed or "6 of 6", not failed)


async def cut_off(world, release):
    """A machine's network is cut by KUBE_CUT, and joined by KUBE_JOIN: commands in which {} is the machine's name."""
    cut, join = os.environ.get("KUBE_CUT"), os.environ.get("KUBE_JOIN")
    if not cut or not join or len(machines()) < 2:
        world.table.skip("a machine is cut off", "KUBE_CUT and KUBE_JOIN say how, as commands in which {} is the machine's name")
        return
    needed = {world.stores.machine} | {pod["spec"]["nodeName"] for pod in Place("kube-system").items("pods", "k8s-app=kube-dns")}
    name = next((pod["spec"]["nodeName"] for pod in release.pods() if pod["spec"]["nodeName"] not in needed), None)
    if name is None:
        world.table.skip("a machine is cut off", "on each machine with a pod is a store or a name server")
        return
    ways = [way for way in release.ways() if way.host != machines()[name]]
    run(*shlex.split(cut.replace("{}", name)))
    try:
        hangs, replaced = await asyncio.gather(
            world.off(last_failure, ways[0], 150),
            world.off(every, 2, lambda: is_replaced(release, name), "pods of that machine are replaced elsewhere", 300))
    finally:
        run(*shlex.split(join.replace("{}", name)))
    world.table.row("a machine is cut off: from when on every new connection is served", f"{hangs:.0f} s later", hangs < 90)
    world.table.row("a machine is cut off: its pods are replaced", f"{replaced:.0f} s later", replaced < 150)
    await world.off(every, 2, lambda: name in machines(), "the machine is back", 180)
    await world.off(release.ready)


def last_failure(way, seconds):
    """How long after now new connections still failed."""
    began, last = time.monotonic(), 0.0
    while time.monotonic() - began < seconds and time.monotonic() - began < last + 40:
        at = time.monotonic()
        try:
            with socket.create_connection((way.host, way.port), timeout=3) as link:
                link.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert link.recv(100).startswith(b"HTTP/1.1 200")
        except (OSError, AssertionError):
            last = at - began
        time.sleep(0.1)  # else this machine's ports run out
    return last


def is_replaced(release, name):
    ready = [pod for pod in release.pods() if is_ready(pod) and pod["spec"]["nodeName"] != name]
    return len(ready) == release.wanted()


# ------------------------------------------------------------------------------------ limits

async def full(world, _):
    """A node at its connection-limit, for longer than a probe of liveness waits."""
    small = await world.off(world.release, "full", secret=world.stores.secret(postgres=""), sink={"enabled": False},
                            settings={"connection-limit": AT_ONCE}, node={"replicas": 1})
    way, held, cut, began = small.ways()[0], [], 0, time.monotonic()
    while time.monotonic() - began < 75:
        there = answer_pings(held)
        cut += len(held) - len(there)
        held = there
        if len(held) < AT_ONCE:
            with contextlib.suppress(AssertionError, OSError, Closed):
                held.append(RawWebSocket(way))
        await asyncio.sleep(0.3)
    world.table.row(f"{AT_ONCE} clients at connection-limit={AT_ONCE} for 75 s: the node is not started again",
                    f"{small.restarts()} restarts, {cut} cut, {len(held)} there", small.restarts() == 0 and cut == 0 and len(held) == AT_ONCE)
    for client in held:
        client.close()
    await world.off(small.delete)


# ------------------------------------------------------------------------------------ memory

def most_pushes(way):
    """How many a client who does not read is sent before he is closed, by queue-limit. Some go into buffers on the way, which differ."""
    session, deaf, leader = deaf_pair(way, "probe")
    with contextlib.closing(deaf), contextlib.closing(leader):
        for count in range(1, 400):
            leader.text(push(session, PIECE))
            leader.text("ping")
            seen = ""
            while seen != "pong":
                seen = leader.next_text()
                if '"playersCount":1' in seen:
                    return count - 1
            time.sleep(0.1)
    raise Failed("nobody is closed for not reading")


def attack(way, number, pushes):
    session, deaf, leader = deaf_pair(way, f"flood-{number}")
    for _ in range(pushes):
        leader.text(push(session, PIECE))
    return deaf, leader


async def memory(world, release):
    """One node in 128 MiB, as small as that; the chart sets nothing else."""
    small = await world.off(world.release, "small", secret=world.stores.secret(postgres=""), sink={"enabled": False}, node={
        "replicas": 1, "resources": {"limits": {"memory": "128Mi"}}})
    way = small.ways()[0]
    one, other = await members([way, way], new_session())
    pod = small.pods()[0]["metadata"]["name"]
    held = []
    pushes = await world.off(flood, way, held)
    seen = small.metrics(pod)
    await one.send("ping")
    await one.receive(60)
    await other.send("ping")
    await other.receive(60)
    world.table.row(f"{DEAF} clients who do not read, as much for each as leaves him connected, a node in 128 MiB: it lives",
                    f"{pushes * len(PIECE) / 1e6:.1f} MB each, {small.restarts()} starts again, "
                    f"{seen['process_resident_memory_bytes'] / 2 ** 20:.0f} MiB used, {seen['muster_memory_closed_total']:.0f} closed, "
                    f"{len(held)} let in", small.restarts() == 0 and seen["muster_memory_closed_total"] > 0)
    log = small.kubectl("logs", pod)
    world.table.row("those that were closed are counted and logged", "memory is short" in log, "memory is short" in log)
    world.table.row("others hear each other meanwhile", "a ping and its pong, both")
    for pair in held:
        for client in pair:
            client.close()
    one.vanish()
    other.vanish()
    await world.off(small.delete)


def flood(way, held):
    """Eight at a time: a client that answers no ping is closed after a while, also where memory is not short."""
    pushes = most_pushes(way) - 1

    def come(number):
        with contextlib.suppress(AssertionError, OSError, Closed):  # nobody new is let in while memory is short
            held.append(attack(way, number, pushes))
    with concurrent.futures.ThreadPoolExecutor(8) as crew:
        list(crew.map(come, range(DEAF)))
    return pushes

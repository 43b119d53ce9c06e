#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""usage: run.py [TRY...]   Installs the chart on a Kubernetes as a user would, does to it what happens to it, and prints a table: promise, figure.
Ends with 1 when a promise was broken, with 2 where there is no cluster."""

import asyncio
import concurrent.futures
import pathlib
import shutil
import subprocess
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parents[1])]

import try_change  # noqa: E402
import try_drills  # noqa: E402
import try_faults  # noqa: E402
import try_reload  # noqa: E402
from place import helm_program, machines  # noqa: E402
from lib.ws import vanish_all  # noqa: E402
from trial import World  # noqa: E402

# Those with True take the release that is shared; the others make their own.
TRIES = {
    "install": (try_change.install, False), "plain": (try_change.plain, False), "numbers": (try_change.numbers, True),
    "rollout": (try_change.rollout, True), "upgrade": (try_change.upgrade, True), "autoscaling": (try_change.autoscaling, True),
    "releases": (try_change.releases, True), "reload": (try_reload.reload, False), "drain": (try_change.drain, True),
    "force": (try_faults.force_delete, True), "redis": (try_faults.redis_deleted, True), "postgres": (try_faults.postgres_deleted, True),
    "names": (try_faults.names_away, True), "cut": (try_faults.cut_off, True), "memory": (try_faults.memory, False),
    "full": (try_faults.full, False),
    "drills": (try_drills.drills, False),
}

HOW = """No Kubernetes answers kubectl. One to try on, where Docker is:
  kind       kind create cluster --config tests/cluster/kind.yaml    KUBE_LOAD='kind load docker-image'
  k3s        k3d cluster create muster --agents 2                    KUBE_LOAD='k3d image import -c muster'
  minikube   minikube start --nodes 3                                KUBE_LOAD='minikube image load'
Then: make kube KUBE_LOAD=...   (KUBECONFIG as kubectl has it; docs/develop.md has the rest)"""


def what_is_missing():
    if shutil.which("kubectl") is None:
        return "no kubectl\n" + HOW
    if shutil.which(helm_program()) is None:
        return "no helm: put it on PATH, or name it in HELM"
    if subprocess.run(["kubectl", "get", "--raw", "/readyz", "--request-timeout=10s"], capture_output=True, check=False).returncode != 0:
        return HOW
    return None


async def act(world, names):
    asyncio.get_running_loop().set_default_executor(concurrent.futures.ThreadPoolExecutor(64))  # calls that wait, many side by side
    shared = None
    for name in names:
        play, shares = TRIES[name]
        if shares and shared is None:
            world.progress.line("the release that is shared: three nodes, two sinks")
            shared = await asyncio.to_thread(world.release)
        began = time.monotonic()
        world.progress.line(f"{name}: {(play.__doc__ or '').splitlines()[0]}")
        try:
            if shares:
                await asyncio.to_thread(shared.ready)  # also after a try that stumbled
            await play(world, shared)
        except Exception as error:  # pylint: disable=broad-except
            world.table.row(name, f"stumbled: {error!r:.600}", False)
        vanish_all()
        world.progress.line(f"  {name} took {time.monotonic() - began:.0f} s")


def main(words):
    unknown = [word for word in words if word.split("=")[0] not in TRIES]
    if unknown:
        sys.exit(f"no try named {unknown[0]}; there are {', '.join(TRIES)}")
    missing = what_is_missing()
    if missing:
        print(missing)
        return 2
    world = World()
    world.wanted_drills = next((word.split("=")[1].split(",") for word in words if "=" in word), [])
    world.progress.line(f"machines: {machines()}")
    try:
        world.build()
        if [word.split("=")[0] for word in words] != ["drills"]:
            world.open_stores()
        asyncio.run(act(world, [word.split("=")[0] for word in words] or list(TRIES)))
    finally:
        world.close()
    print(world.table.text())
    return 0 if world.table.kept() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

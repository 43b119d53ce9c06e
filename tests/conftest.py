# SPDX-License-Identifier: MIT
"""Fixtures: what a test starts is stopped and judged after it (clean exit, no sanitizer report). A test that is a
coroutine runs in a loop of its own, and the clients that it leaves are gone when it ends."""

import asyncio
import inspect
import os
import pathlib

import pytest

from lib.shared import share, unshare
from lib.ws import vanish_all
from lib.yard import Yard

LIMIT = 300  # seconds for a coroutine, beside the deadlines of all that it waits for


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(_play(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted})))
    return True


async def _play(test):
    try:
        await asyncio.wait_for(test, LIMIT)
    finally:
        vanish_all()


@pytest.fixture
def yard(tmp_path):
    yard = Yard(tmp_path)
    yield yard
    yard.stop()


@pytest.fixture
def redis(yard):
    return yard.redis()


@pytest.fixture
def postgres(yard):
    """Has Muster's schema."""
    return yard.postgres()


@pytest.fixture
def cluster(yard, redis):
    """Three nodes on one Redis."""
    return yard.fleet([redis.url] * 3)


@pytest.fixture(scope="module")
def module_yard(tmp_path_factory):
    yard = Yard(tmp_path_factory.mktemp("module"))
    yield yard
    yard.stop()


@pytest.fixture(scope="module")
def node_settings():
    """Settings of the shared node; a file may have its own."""
    return {}


@pytest.fixture
def node(module_yard, node_settings):
    """A node with the memory store, shared by the tests of a file. A test that kills it is blamed; the next
    test gets another one."""
    node = module_yard.any_node() or module_yard.node(**node_settings)
    yield node
    if not node.alive():
        module_yard.dismiss(node)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Shows what the nodes of a failed test had to say."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for name in ("yard", "module_yard"):
        yard = item.funcargs.get(name) if hasattr(item, "funcargs") else None
        for node_name, log in yard.logs() if yard is not None else ():
            report.sections.append((f"log of {node_name}", log))


# Files that take longest, the longest first: they are begun before all others, so that no worker is left with one of them in
# the end. What is not here, or here and short by now, costs some seconds at most.
LONGEST = (
    "test_upgrade", "test_chaos", "test_model", "test_store_cluster_all", "test_relay_pacing", "test_logs_sink", "test_postgres_failover",
    "test_store_cluster", "test_dispatch_flow", "test_logs_from", "test_dispatch_early", "test_chat_login", "test_dispatch_cluster", "test_check",
    "test_relay_cluster", "test_minigame", "test_chat", "test_logs", "test_hostile", "test_chat_cluster", "test_relay", "test_logs_fork",
    "test_fleet_stores", "test_store_fail_over", "test_redis_stands_still", "test_log",
)


def pytest_collection_modifyitems(items):
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadscope`: tests of a file behind each other, so that they share what it starts; those of the longest ones each by
    itself. A worker has two tests before it at most."""
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class LongestFirst(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::", 1)[0]
            return nodeid if pathlib.PurePath(file).stem in LONGEST else file
    return LongestFirst(config, log)


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        share()
    if "MUSTER_SKIPS" in os.environ and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Skips(os.environ["MUSTER_SKIPS"]))


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        unshare()


class Skips:
    """Writes down why tests were skipped: tests/untried.py tells of it when all is over."""

    def __init__(self, path):
        self.path = path

    def pytest_runtest_logreport(self, report):
        if report.skipped and isinstance(report.longrepr, tuple):
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(report.longrepr[2].removeprefix("Skipped: ").replace("\n", " ") + "\n")

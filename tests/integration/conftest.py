"""Fixtures: what a test starts is stopped and judged after it (clean exit, no sanitizer report)."""

import itertools

import pytest

from cluster import BINARY, LEASE, Node, Proxy, Redis, Sentinel, TlsRedis, Workers



def pytest_configure(config):
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is not there: build it, or set MUSTER_BIN", returncode=2)


class Yard:
    """Where the processes of one test live."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []
        self.numbers = itertools.count()

    def keep(self, thing):
        self.started.append(thing)
        return thing

    def redis(self, *options):
        return self.keep(Redis(f"redis-{next(self.numbers)}", self.folder, *options)).start()

    def tls_redis(self, certificates, **options):
        return self.keep(TlsRedis(f"redis-{next(self.numbers)}", self.folder, certificates, **options)).start()

    def sentinel(self, master, quorum, *directives):
        name = f"sentinel-{next(self.numbers)}"
        return self.keep(Sentinel(name, self.folder, master, quorum, *directives)).start()

    def workers(self, count, env=None, **settings):
        """Starts several nodes behind one port without waiting for them."""
        return self.keep(Workers(f"workers-{next(self.numbers)}", self.folder, count, env, **settings)).start()

    def proxy(self, target):
        return self.keep(Proxy(target.port)).start()

    def begin(self, env=None, **settings):
        """Starts a node without waiting for it."""
        return self.keep(Node(f"node-{next(self.numbers)}", self.folder, env, **settings)).start()

    def node(self, env=None, **settings):
        return self.begin(env, **settings).ready()

    def fleet(self, stores, **settings):
        """One node for each store URL, started side by side."""
        settings.setdefault("lease", LEASE)
        nodes = [self.begin(store=store, **settings) for store in stores]
        return [node.ready() for node in nodes]

    def any_node(self):
        return next((thing for thing in self.started if isinstance(thing, Node)), None)

    def dismiss(self, node):
        """Judges it now and not at the end."""
        self.started.remove(node)
        node.stop()

    def logs(self):
        return [(thing.name, thing.log_tail()) for thing in self.started if isinstance(thing, Node)]

    def stop(self):
        faults = []
        for thing in reversed(self.started):
            try:
                thing.stop()
            except AssertionError as fault:
                faults.append(str(fault))
        assert not faults, "\n\n".join(faults)


@pytest.fixture
def yard(tmp_path):
    yard = Yard(tmp_path)
    yield yard
    yard.stop()


@pytest.fixture
def redis(yard):
    return yard.redis()


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
    """A node with the memory store, shared by the tests of a file. Who kills it is blamed; the next
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

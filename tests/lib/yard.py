# SPDX-License-Identifier: MIT
"""Where the processes of one test live."""

import itertools

from lib.node import LEASE, Node, Workers
from lib.postgres import Postgres
from lib.proxy import Proxy
from lib.redis import KeptRedis, Redis, Sentinel, TlsRedis


class Yard:
    """Starts them; stops and judges all of them in the end."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []
        self.numbers = itertools.count()

    def keep(self, thing):
        self.started.append(thing)
        return thing

    def redis(self, *options, apart=0):
        return self.keep(Redis(f"redis-{next(self.numbers)}", self.folder, *options, apart=apart)).start()

    def kept_redis(self, apart=0):
        name = f"redis-{next(self.numbers)}"
        return self.keep(KeptRedis(name, self.folder / name, apart=apart)).start()

    def tls_redis(self, certificates, **options):
        return self.keep(TlsRedis(f"redis-{next(self.numbers)}", self.folder, certificates, **options)).start()

    def postgres(self, migrated=True, **options):
        """A server of this test's own; with Muster's schema, unless it is to do without."""
        name = f"postgres-{next(self.numbers)}"
        return self.keep(Postgres(name, self.folder, **options)).make(migrated).start()

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

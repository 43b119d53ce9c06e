# SPDX-License-Identifier: MIT
"""A sink whose machine vanishes: PostgreSQL hears nothing of it, and still holds its locks."""

import os

import pytest

from lib.logs import begin_sink, stored
from lib.machine import Machine
from lib.node import Sink
from lib.postgres import Postgres
from lib.process import muster
from lib.waiting import wait_until

LANES = 2
ROW = "user_name = 'u'"


class FarSink(Sink):
    """Runs on that machine."""

    def __init__(self, machine, name, folder, **settings):
        super().__init__(name, folder, **settings)
        self.machine = machine

    def launch(self, command, env=None):
        super().launch([*self.machine.inside(), *command], env)


@pytest.fixture
def machine(yard):
    if os.geteuid() != 0:
        pytest.skip("a network namespace needs root")
    return yard.keep(Machine("machine", yard.folder)).start()


@pytest.fixture
def postgres(yard, machine):
    server = yard.keep(Postgres("postgres", yard.folder)).make()
    server.options["listen_addresses"] = f"127.0.0.1,{machine.here}"
    with open(server.data / "d" / "pg_hba.conf", "a", encoding="ascii") as rules:
        rules.write(f"host all all {machine.own}/32 trust\n")
    server.start()
    done = muster("migrate", "--postgres", server.uri)
    assert done.returncode == 0, done.stderr
    return server


def entries(first):
    return [{"msg": str(first + i), "room": f"room-{i}", "user": "u"} for i in range(10)]


def wait_rows(postgres, count):
    def each_once():
        return postgres.value(f"select count(*), count(distinct msg) from log_entry where {ROW}") == f"{count}|{count}"
    wait_until(each_once, f"{count} rows, each once", 40)


def locks(postgres, machine):
    """Lanes that sinks of that machine hold, as PostgreSQL sees it."""
    return int(postgres.value("select count(*) from pg_locks join pg_stat_activity using (pid) where locktype = 'advisory' "
                              f"and mode = 'ExclusiveLock' and granted and client_addr = '{machine.own}'"))


def test_another_sink_takes_over_from_a_machine_that_vanished(yard, machine, postgres):
    redis = yard.redis("--bind", "127.0.0.1", machine.here, "--protected-mode", "no")
    [node] = yard.fleet([redis.url], logs_lanes=LANES)
    far = yard.keep(FarSink(machine, "far-sink", yard.folder, store=f"redis://{machine.here}:{redis.port}", lease="2s",
                            postgres=f"postgresql://postgres@{machine.here}:{postgres.port}/postgres", logs_lanes=LANES))
    far.start()
    stored(node, entries(0))
    wait_rows(postgres, 10)
    before = locks(postgres, machine)
    assert before >= LANES

    machine.pull_out()
    stored(node, entries(10))
    begin_sink(yard, redis.url, postgres, logs_lanes=LANES).ready()
    wait_rows(postgres, 20)
    wait_until(lambda: locks(postgres, machine) == 0, "nothing of it is left")

    machine.plug_in()
    wait_until(lambda: locks(postgres, machine) > 0, "it has its share again", 40)
    stored(node, entries(20))
    wait_rows(postgres, 30)

# SPDX-License-Identifier: MIT
"""Names are looked up as any program on the system does it, and no loop waits for one."""

import asyncio
import subprocess
import threading
import time

import pytest

from lib.chat import ChatClient
from lib.names import Etc, NameServer
from lib.node import Node, Sink
from lib.postgres import Postgres
from lib.process import BINARY, certificates, clean_env, muster
from lib.tokens import Key
from lib.waiting import wait_until

HOME = "127.0.0.1"
NOBODY = "127.0.0.77"  # refuses at once
PROMPT_S = 1.0
GLIBC_S = 10  # what the system's resolver needs when the first server is silent, at most


@pytest.fixture
def etc(tmp_path):
    made = Etc(tmp_path)
    done = subprocess.run([*made.prefix, "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no mounts of a process's own here: {done.stderr}")
    return made


@pytest.fixture
def server(yard):
    return yard.keep(NameServer({"redis.test": [HOME], "sentinel.test": [HOME], "away.test": [NOBODY, HOME],
                                 "gone.test": [NOBODY]})).start()


@pytest.fixture
def silent(yard):
    dead = yard.keep(NameServer({})).start()
    dead.silent = True
    return dead


def begin(yard, etc, kind, name, **settings):
    process = kind(name, yard.folder, **settings)
    process.prefix = etc.prefix
    return yard.keep(process).start()


def names_store(redis, name="redis.test"):
    return f"redis://{name}:{redis.port}"


class Pulse:
    """Asks /healthz all the time; `worst` is the longest wait for an answer."""

    def __init__(self, process):
        self.process, self.worst, self.over = process, 0.0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over.wait(0.05):
            begun = time.monotonic()
            self.process.status("/healthz")
            self.worst = max(self.worst, time.monotonic() - begun)

    def __enter__(self):
        wait_until(lambda: self.process.status("/healthz") == 200, "it lives")
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def test_the_first_name_server_is_silent(yard, redis, etc, silent, server):
    etc.servers(silent, server)
    begun = time.monotonic()
    node = begin(yard, etc, Node, "node", store=names_store(redis))
    checked = subprocess.run([*etc.prefix, str(BINARY), "check", "--store", names_store(redis), "--relay", "", "--tracker", ""],
                             env=clean_env(), capture_output=True, text=True, timeout=60, check=False)
    assert "store: reached" in checked.stdout, checked.stdout
    node.ready()
    assert time.monotonic() - begun < GLIBC_S + 15
    assert silent.asked["udp"] > 0


def test_sentinels_by_name(yard, redis, etc, server):
    etc.servers(server)
    sentinel = yard.sentinel(redis, 1)
    begin(yard, etc, Node, "node", store=f"redis+sentinel://sentinel.test:{sentinel.port}/fleet").ready()


def test_an_answer_cut_short_is_asked_for_over_tcp(yard, redis, etc, server):
    etc.servers(server)
    server.cut = True
    begin(yard, etc, Node, "node", store=names_store(redis)).ready()
    assert server.asked["tcp"] > 0


def test_all_addresses_are_tried_in_turn(yard, redis, etc, server):
    etc.servers(server)
    begin(yard, etc, Node, "node", store=names_store(redis, "away.test")).ready()


def test_files_that_change_are_read_again(yard, redis, etc, silent, server):
    etc.servers(silent)
    etc.name("redis.test", NOBODY)
    node = begin(yard, etc, Node, "node", store=names_store(redis))
    wait_until(lambda: "refused" in node.log(), "it finds nobody there")
    etc.name("redis.test", HOME)
    node.ready()
    redis.kill()
    etc.hosts.write_text("")
    wait_until(lambda: not node.is_ready(), "the link is down")
    etc.servers(server)
    redis.start()
    node.ready()
    assert server.asked["udp"] > 0, "it asked the server that resolv.conf names now"


def test_a_sink_answers_and_ends_while_names_do_not(yard, redis, etc, silent):
    etc.servers(silent)
    sink = begin(yard, etc, Sink, "sink", store=redis.url, postgres="postgresql://postgres@postgres.test/postgres")
    with Pulse(sink) as pulse:
        wait_until(lambda: "not answered in time" in sink.log(), "it says what it waits for", 30)
        assert "name of its host" in sink.get("/readyz")[1]
    assert pulse.worst < PROMPT_S
    begun = time.monotonic()
    sink.term()
    assert sink.popen.wait(30) == 0
    assert time.monotonic() - begun < 5


def test_postgres_by_name_over_tls_at_any_of_its_addresses(yard, redis, etc, server, tmp_path):
    """The certificate is for the name; the name has one address where nobody listens."""
    folder = certificates(tmp_path)
    postgres = yard.keep(Postgres("postgres", yard.folder))
    for name in ("server.pem", "server.key"):
        target = postgres.data / name
        target.write_bytes((folder / name).read_bytes())
        subprocess.run(["chown", "--reference", str(postgres.data), str(target)], check=True)
        target.chmod(0o600)
    postgres.options.update(ssl="on", ssl_cert_file=postgres.data / "server.pem", ssl_key_file=postgres.data / "server.key")
    postgres.make().start()
    assert muster("migrate", "--postgres", postgres.uri).returncode == 0
    server.zone["redis.test"] = [NOBODY, HOME]
    etc.servers(server)
    tls = f"sslmode=verify-full&sslrootcert={folder}/ca.pem"
    begin(yard, etc, Sink, "sink", store=redis.url,
          postgres=f"postgresql://postgres@gone.test:{postgres.port},redis.test:{postgres.port}/postgres?{tls}").ready()
    assert postgres.value("select count(*) > 0 from pg_stat_ssl join pg_stat_activity using (pid) "
                          "where ssl and application_name like 'muster sink%'") == "t"
    server.zone["wrong.test"] = [HOME]
    other = begin(yard, etc, Sink, "other", store=redis.url,
                  postgres=f"postgresql://postgres@wrong.test:{postgres.port}/postgres?{tls}")
    wait_until(lambda: "wrong.test" in other.log() and "does not match host name" in other.log(), "it believes no other name")


def test_postgres_by_a_name_of_a_variable(yard, redis, etc, server, postgres):
    server.zone["db.test"] = [HOME]
    etc.servers(server)
    begin(yard, etc, Sink, "sink", store=redis.url, postgres="postgresql:///postgres",
          env={"PGHOST": "db.test", "PGPORT": str(postgres.port), "PGUSER": "postgres"}).ready()


def test_a_silent_account_service_name_holds_nobody_up(yard, etc, silent, tmp_path):
    key = Key()
    etc.servers(silent)
    node = begin(yard, etc, Node, "node", chat_jwt_key=key.pem_file(tmp_path), chat_account_url="http://accounts.test",
                 chat_account_timeout="500ms").ready()

    async def login():
        client = await ChatClient.connect(node)
        answer = await client.login(key.token())
        client.vanish()
        return answer
    with Pulse(node) as pulse:
        for _ in range(3):
            assert "unavailable" in str(asyncio.run(login()))
    assert pulse.worst < PROMPT_S


def test_a_source_by_name(yard, etc, server, postgres):
    source = yard.node()
    server.zone["logs.test"] = [NOBODY, HOME]
    etc.servers(server)
    begin(yard, etc, Sink, "dumper", postgres=postgres.uri, **{"from": f"ws://logs.test:{source.port}/logs/listen"}).ready()

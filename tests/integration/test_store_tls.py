# SPDX-License-Identifier: MIT
"""Redis over TLS, with real certificates: who is believed, and what an operator is told otherwise."""

import asyncio

import pytest

from lib.node import LEASE
from lib.process import certificates, muster
from lib.sync import SyncClient, close_all, members, new_session
from test_settings import assert_not_well
from test_sync_cluster import all_ready, assert_a_newcomer_is_counted, assert_pushes_arrive, until_pushes_arrive


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return certificates(tmp_path_factory.mktemp("certificates"))


def check(redis, *flags, url=None):
    return muster("check", "--store", url or redis.url, *map(str, flags))


async def test_two_nodes_meet_over_tls(yard, certs):
    redis = yard.tls_redis(certs)
    nodes = yard.fleet([redis.url, f"rediss://localhost:{redis.tls_port}"], store_ca=certs / "ca.pem")
    session = new_session()
    leader, follower = await members(nodes, session, leaders=(0,))
    await assert_pushes_arrive(leader, [follower], session)
    await close_all([leader, follower])


async def test_a_tls_server_that_comes_back_empty(yard, certs):
    redis = yard.tls_redis(certs)
    nodes = yard.fleet([redis.url] * 2, store_ca=certs / "ca.pem")
    session = new_session()
    leader, follower = clients = await members(nodes, session, leaders=(0,))
    await asyncio.to_thread(redis.restart_empty)
    await until_pushes_arrive(leader, [follower], session)
    await all_ready(nodes)
    await assert_a_newcomer_is_counted(nodes[1], clients, session)
    await close_all(clients)


async def test_a_client_certificate_is_shown_when_demanded(yard, certs):
    redis = yard.tls_redis(certs, clients=True)
    ca = ("--store-ca", certs / "ca.pem")
    assert_not_well(check(redis, *ca), "certificate required")
    stranger = ("--store-cert", certs / "stranger.pem", "--store-key", certs / "stranger.key")
    assert_not_well(check(redis, *ca, *stranger), "unknown ca")
    node = yard.node(store=redis.url, lease=LEASE, store_ca=certs / "ca.pem", store_cert=certs / "client.pem",
                     store_key=certs / "client.key")
    await (await SyncClient.member(node, new_session())).close()


def test_a_certificate_and_its_key_in_one_file(yard, certs, tmp_path):
    redis = yard.tls_redis(certs, clients=True)
    both = tmp_path / "both.pem"
    both.write_text((certs / "client.pem").read_text() + (certs / "client.key").read_text())
    assert check(redis, "--store-ca", certs / "ca.pem", "--store-cert", both).returncode == 0


@pytest.mark.parametrize("own, authority, because", [
    ("server", "other-ca", "certificate"),
    ("wrong-name", "ca", "mismatch"),
    ("expired", "ca", "expired"),
])
def test_who_is_not_believed(yard, certs, own, authority, because):
    redis = yard.tls_redis(certs, own=own)
    assert_not_well(check(redis, "--store-ca", certs / f"{authority}.pem"), because, str(redis.tls_port))


def test_a_certificate_of_another_name_that_is_expected(yard, certs):
    redis = yard.tls_redis(certs, own="wrong-name")
    flags = ("--store-ca", certs / "ca.pem", "--store-server-name", "elsewhere.test")
    assert check(redis, *flags).returncode == 0


def test_a_password_is_sent_to_nobody_who_is_not_believed(yard, certs):
    redis = yard.tls_redis(certs, own="wrong-name")
    url = redis.url.replace("//", "//user:hush-hush@")
    result = check(redis, "--store-ca", certs / "ca.pem", url=url)
    assert_not_well(result, "mismatch")
    assert b"cmdstat_auth" not in redis.command("INFO", "commandstats")


async def test_a_renewed_certificate_counts_without_a_restart(yard, certs, tmp_path):
    """cert-manager and the like write the file again: the next connection has it."""
    redis = yard.tls_redis(certs, clients=True)
    shown, key = tmp_path / "shown.pem", tmp_path / "shown.key"
    shown.write_text((certs / "stranger.pem").read_text())
    key.write_text((certs / "stranger.key").read_text())
    node = yard.begin(store=redis.url, lease=LEASE, store_ca=certs / "ca.pem", store_cert=shown, store_key=key)
    while "unknown ca" not in node.log():
        await asyncio.sleep(0.01)
    shown.write_text((certs / "client.pem").read_text())
    key.write_text((certs / "client.key").read_text())
    await all_ready([node])


@pytest.mark.parametrize("flags, because", [
    (("--store-ca", "/nowhere.pem"), "/nowhere.pem"),
    (("--store-key", "/nowhere.pem"), "needs its certificate"),
])
def test_files_of_no_use(flags, because):
    for verb in ("node", "check"):
        result = muster(verb, "--store", "rediss://127.0.0.1:1", *flags)
        assert_not_well(result, because)


def test_tls_settings_without_a_tls_server(redis):
    assert_not_well(muster("check", "--store", redis.url, "--store-ca", "x.pem"), "rediss://")

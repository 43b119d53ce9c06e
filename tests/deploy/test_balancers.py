# SPDX-License-Identifier: MIT
"""The pieces of docs/balancers.md, run as they stand there but for addresses, with real clients before and real nodes behind."""

import asyncio
import json
import pathlib
import re
import shutil
import socket

import pytest

import manifests
from lib.dispatch import OPENED, Device, Driver, bind_of, until_open
from lib.ports import free_port
from lib.process import Process
from lib.sync import SyncClient, close_all, new_session, push
from lib.waiting import until, wait_until

TEXT = (manifests.ROOT / "docs/balancers.md").read_text()


CHECK_OF_TCP = re.search(r"^ +healthCheck: \{.*\n", TEXT, re.MULTILINE)[0]  # asks the admin address, which these nodes have not apart


class Balancer(Process):
    """A program with its configuration; looks like a node to the test clients."""

    expected_exit = None

    def __init__(self, folder, program, words, text, ports):
        super().__init__(pathlib.Path(program).name, folder)
        if shutil.which(program) is None:
            pytest.skip(f"no {self.name}")
        self.path = pathlib.Path(folder) / f"{self.name}.yaml"  # by which name Envoy knows its language; the others do not care
        self.path.write_text(text)
        self.ports, self.port = ports, ports[8080]
        self.command = [program, *words, str(self.path)]

    def start(self):
        self.launch(self.command)
        wait_until(self.answers, f"{self.name} leads to a node")
        return self

    def answers(self):
        self.check()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as link:
                link.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                return link.recv(100).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def ws(self, path):
        return f"ws://127.0.0.1:{self.port}{path}"

    def stop(self):
        if self.popen is not None and self.alive():
            self.popen.terminate()
            self.popen.wait(20)


def piece(title, addresses, drop=(), nth=0):
    """(text, ports) of a block below that heading: `addresses` replace what stands there; ports that it listens on are free ones."""
    text = re.findall(r"^```[a-z]+\n(.*?)^```", re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)[1], re.DOTALL | re.MULTILINE)[nth]
    for line in drop:
        assert line in text
        text = text.replace(line, "")
    for name, address in addresses.items():
        assert name in text
        text = text.replace(name, address)
    ports = {}

    def moved(match):
        ports[int(match[2])] = free_port()
        return match[1] + str(ports[int(match[2])])
    return re.sub(r"^(\s*listen |:|.*address: 0\.0\.0\.0, port_value: |.*address: \":)(\d+)(?=;| \{|\}\}|\"\})", moved, text,
                  flags=re.MULTILINE), ports


DEVICES = 6001  # a port of devices at each node


@pytest.fixture
def nodes(yard, redis):
    made = []
    for number in range(2):
        relay = free_port()
        node = yard.begin(store=redis.url, lease="2s", relay=f"127.0.0.1:{relay}", relay_proxy="on", trusted_proxies="127.0.0.1",
                          dispatch_bind=bind_of(number), dispatch_ports=str(DEVICES), dispatch_proxy="on", drain="5s")
        node.relay, node.bind = relay, bind_of(number)
        made.append(node)
    return [node.ready() for node in made]


@pytest.fixture
def redis(yard):
    return yard.redis()


def relays(nodes):
    return [f"127.0.0.1:{node.relay}" for node in nodes]


def device_ports(nodes):
    return [f"{node.bind}:{DEVICES}" for node in nodes]


def of_nodes(nodes, tcp):
    """What stands for nodes on the page to where they are; TCP of the relay's piece leads to `tcp`."""
    return {name: address for n, node in enumerate(nodes, 1)
            for name, address in ((f"node{n}:8080", f"127.0.0.1:{node.port}"), (f"node{n}:1337", tcp[n - 1]))}


def begin_nginx(yard, nodes, tcp):
    module = "modules/ngx_stream_module.so"
    found = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    if not found.exists():
        pytest.skip("no stream module of nginx")
    text, ports = piece("nginx", {**of_nodes(nodes, tcp), module: str(found)})
    text = f"daemon off;\npid {yard.folder}/nginx.pid;\n" + text.replace("http {", paths_below(yard.folder), 1)
    return yard.keep(Balancer(yard.folder, "nginx", ["-p", str(yard.folder), "-c"], text, ports)).start()


def paths_below(folder):
    """Where nginx keeps what it buffers, for users other than root."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "http {\n" + "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in kinds)


def begin_caddy(yard, nodes, _):
    addresses = {f"node{n}:8080": f"127.0.0.1:{node.port}" for n, node in enumerate(nodes, 1)}
    text, ports = piece("Caddy", addresses, drop=["        health_port 9090\n"])
    return yard.keep(Balancer(yard.folder, "caddy", ["run", "--adapter", "caddyfile", "--config"], text, ports)).start()


def begin_envoy(yard, nodes, tcp):
    def endpoint(at, health=""):
        host, port = at.split(":")
        return f"address: {host}, port_value: {port}}}}}" + health
    checked = ", health_check_config: {port_value: 9090}"
    addresses = {}
    for n, node in enumerate(nodes, 1):
        addresses[endpoint(f"node{n}:8080", checked)] = endpoint(f"127.0.0.1:{node.port}")
        addresses[endpoint(f"node{n}:1337")] = endpoint(tcp[n - 1])
    text, ports = piece("Envoy", addresses)
    built = manifests.ROOT / "build-tools/envoy/envoy/_bin/envoy"
    words = ["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning", "-c"]
    return yard.keep(Balancer(yard.folder, str(built) if built.exists() else "envoy", words, text, ports)).start()


def begin_traefik(yard, nodes, tcp):
    routes = yard.folder / "routes.yaml"
    routes.write_text(piece("Traefik", of_nodes(nodes, tcp), drop=["          port: 9090\n", CHECK_OF_TCP], nth=1)[0])
    text, ports = piece("Traefik", {"/etc/traefik/routes.yaml": str(routes)})
    return yard.keep(Balancer(yard.folder, "traefik", ["--configFile"], text, ports)).start()


BEGIN = {"nginx": begin_nginx, "caddy": begin_caddy, "envoy": begin_envoy, "traefik": begin_traefik}
TCP = ["nginx", "envoy", "traefik"]


@pytest.fixture(params=TCP)
def with_tcp(request, yard, nodes):
    return BEGIN[request.param](yard, nodes, relays(nodes))


@pytest.fixture(params=TCP)
def with_devices(request, yard, nodes):
    return BEGIN[request.param](yard, nodes, device_ports(nodes))


@pytest.fixture(params=list(BEGIN))
def balancer(request, yard, nodes):
    return BEGIN[request.param](yard, nodes, relays(nodes))


async def test_websockets_are_spread_and_pass(balancer, nodes):
    session = new_session()
    leader = await SyncClient.member(balancer, session, leader=True)
    members = [await SyncClient.member(balancer, session) for _ in range(5)]
    assert [node.metrics()["muster_sync_connections"] for node in nodes] == [3, 3]
    await leader.in_state(6, True)
    await leader.send(push(session, "through"))
    for member in members:
        assert (await member.next_of(lambda message: message["type"] == "Push"))["data"] == "through"
    await close_all([leader, *members])


async def test_clients_of_a_node_that_leaves_are_told_and_find_another(balancer, nodes):
    session = new_session()
    clients = [await SyncClient.member(balancer, session) for _ in range(4)]
    there = [node.metrics()["muster_sync_connections"] for node in nodes]
    assert sum(there) == 4 and min(there) > 0, "both have some"
    nodes[0].term()
    codes = {client: asyncio.ensure_future(client.closed(60)) for client in clients}
    await until(lambda: sum(code.done() for code in codes.values()) == there[0], "those of that node are told")
    wait_until(lambda: not nodes[0].alive(), "it has ended", 30)
    told = [client for client, code in codes.items() if code.done()]
    assert [codes[client].result() for client in told] == [1001] * len(told)
    again = [await SyncClient.member(balancer, session) for _ in told]
    assert nodes[1].metrics()["muster_sync_connections"] == 4
    for code in codes.values():
        code.cancel()
    await close_all(clients + again)


def test_game_servers_pass_with_their_addresses(with_tcp, nodes):
    with socket.create_connection(("127.0.0.1", with_tcp.ports[1337]), timeout=20) as link:
        link.sendall(json.dumps({"type": "handshake", "version": 1, "name": "one", "color": "00aaff", "prefix": "[x]",
                                 "playerCount": 0}).encode())
        assert json.loads(link.recv(4096))["type"] == "acknowledge"
        assert sum(node.metrics()["muster_relay_servers"] for node in nodes) == 1


async def test_devices_pass_with_their_addresses(with_devices, nodes):
    driver = await Driver.connect(nodes[0], DEVICES)
    await until_open(nodes, DEVICES)
    devices = [await Device.connect(None, with_devices.ports[1337], source=f"127.0.0.{9 + n}", host="127.0.0.1") for n in range(2)]
    told = {(await driver.expect(OPENED)).ip for _ in devices}
    assert told == {"127.0.0.9", "127.0.0.10"}
    for device in devices:
        device.close()
    await driver.close()

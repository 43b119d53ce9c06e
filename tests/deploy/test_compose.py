# SPDX-License-Identifier: MIT
"""compose.yaml, started whole: what enters through HAProxy at one node reaches clients of the others.

The file is used as it is, but for images that cannot be pulled (Debian's own stand in) and ports of the host (free
ones)."""

import asyncio
import copy
import json
import re
import shutil
import socket
import urllib.error
import urllib.request
import uuid

import pytest
import websockets
import yaml

from lib.ports import free_port
from lib.sync import SyncClient, new_session
from lib.waiting import until, wait_until
from lib.ws import Client
from deploying import ROOT, engine_missing, hold_to_settings, run

NODES = ("node1", "node2", "node3")
STANDIN = {"redis": None, "haproxy": None, "postgres": ["bash", "/usr/local/bin/postgres.sh"]}


def composer():
    if shutil.which("docker") and run("docker", "compose", "version", check=False).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


def adapted(image, standin, ports):
    """The file with the changes named above; `ports` gets the host's port for each of the file's."""
    project = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = project["services"]
    for name, command in STANDIN.items():
        services[name]["image"] = standin
        services[name]["command"] = command or services[name]["command"]
    for name in services:
        service = services[name] = copy.deepcopy(services[name])  # two names may share one node of the YAML
        service.pop("build", None)
        service["restart"] = "no"
        if service["image"].startswith("${MUSTER_IMAGE"):
            service["image"] = image
        service["ports"] = [port for entry in service.get("ports", ()) for port in moved(name, entry, ports)]
    return project


def moved(service, entry, ports):
    """One published port or range, on free ports of loopback."""
    bind, published, target = re.fullmatch(r"(\$\{[^}]*\}):([0-9-]+):(.+)", entry).groups()
    assert bind == "${BIND:-127.0.0.1}"
    target, _, protocol = target.partition("/")
    first, last = (published.split("-") + published.split("-"))[:2]
    for number, inner in enumerate(range(int(target.split("-")[0]), int(target.split("-")[-1]) + 1)):
        outer = int(first) + number
        assert outer <= int(last)
        ports[outer] = free_port()
        yield f"127.0.0.1:{ports[outer]}:{inner}" + (f"/{protocol}" if protocol else "")


class Project:
    """The running whole. Ports are named as in compose.yaml."""

    def __init__(self, folder, project, ports):
        self.name = f"muster-test-{uuid.uuid4().hex[:6]}"
        self.path = folder / "compose.yaml"
        self.path.write_text(yaml.safe_dump(project))
        self.ports = ports

    def do(self, *words, check=True):
        return run(*composer(), "-p", self.name, "--project-directory", ROOT, "-f", self.path, *words, check=check, timeout=300)

    def container(self, service):
        return self.do("ps", "-q", service).stdout.strip()

    def get(self, port, path="/"):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[port]}{path}", timeout=5) as response:
            return response.read().decode()

    def answers(self, port, path):
        try:
            return self.get(port, path)
        except OSError:
            return None

    def metric(self, number, name):
        """Of node number 1, 2 or 3."""
        return float(re.search(rf"^{name} (\S+)$", self.get(9090 + number, "/metrics"), re.MULTILINE)[1])

    def is_whole(self):
        """HAProxy would send every kind of client to every node."""
        rows = [row for row in self.get(8404, "/;csv").splitlines() if re.match(r"\w+,node", row)]
        return len(rows) == 3 * len(NODES) and all(",UP," in row for row in rows)

    # As the test clients want a node: any, through the balancer.
    def ws(self, path):
        return f"ws://127.0.0.1:{self.ports[8080]}{path}"


@pytest.fixture(scope="module")
def project(tmp_path_factory, request):
    reason = engine_missing() or (None if composer() else "neither docker compose nor docker-compose")
    if reason:
        pytest.skip(reason)
    ports = {}
    plan = adapted(request.getfixturevalue("image"), request.getfixturevalue("standin"), ports)
    project = Project(tmp_path_factory.mktemp("compose"), plan, ports)
    try:
        project.do("up", "-d")
        wait_until(lambda: project.answers(8404, "/metrics"), "HAProxy answers", deadline=30)
        wait_until(project.is_whole, "HAProxy sees three nodes", deadline=60)
        yield project
    finally:
        project.do("down", "-v", "-t", "5", check=False)


def test_verbs_and_settings_of_the_program(variables, verbs):
    project = yaml.safe_load((ROOT / "compose.yaml").read_text())
    used_verbs, used = set(), set()
    for service in project["services"].values():
        if service["image"].startswith("${MUSTER_IMAGE"):
            used_verbs.add(service["command"][0])
            used |= {name for name in service["environment"] if name.startswith("MUSTER_")}
            assert ("MUSTER_POSTGRES" in service["environment"]) == (service["command"][0] != "node")
    assert used_verbs == {"node", "sink", "migrate"}
    hold_to_settings(used, variables)
    assert used_verbs <= verbs


def test_version_through_the_balancer(project):
    assert project.get(8080, "/version") == "0.1"


def test_no_metrics_through_the_balancer(project):
    with pytest.raises(urllib.error.HTTPError) as refused:
        project.get(8080, "/metrics")
    assert refused.value.code == 404


def on_nodes(project):
    return [project.metric(number, "muster_sync_connections") for number in (1, 2, 3)]


async def test_a_push_reaches_members_on_other_nodes(project):
    session = new_session()
    leader = await SyncClient.member(project, session, leader=True)
    members = [await SyncClient.member(project, session) for _ in range(5)]
    assert on_nodes(project) == [2, 2, 2], "leastconn spreads them"
    await leader.until_state(6, True)
    await leader.send('{"type":"Push","sessionId":"%s","data":{"hp": 0.50}}' % session)
    for member in members:
        message = await member.next()
        while message["type"] == "SessionState":
            message = await member.next()
        assert message["raw"] == '{"type":"Push","sessionId":"%s","data":{"hp": 0.50}}' % session
    for client in [leader, *members]:
        await client.close()


def test_a_stopped_node_sends_its_clients_to_the_others(project):
    async def scenario():
        session = new_session()
        clients = [await SyncClient.member(project, session) for _ in range(6)]
        wait_for = asyncio.get_running_loop().run_in_executor(None, project.do, "stop", "-t", "40", "node3")
        codes = []

        async def end_of(client):
            code = await client.closed()
            codes.append(code)
            return await SyncClient.member(project, session)
        waiting = [asyncio.ensure_future(end_of(client)) for client in clients]
        await until(lambda: len(codes) == 2, "the two clients of the third node are told", deadline=60)
        await wait_for
        assert codes == [1001, 1001]
        await until(lambda: sum(task.done() for task in waiting) == 2, "and are back elsewhere")
        stayed = [client for client, task in zip(clients, waiting) if not task.done()]
        for task in waiting:
            if not task.done():
                task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        moved_clients = [task.result() for task in waiting if not task.cancelled()]
        assert len(stayed) == 4 and len(moved_clients) == 2
        for client in stayed + moved_clients:
            await client.close()
    asyncio.run(scenario())
    state = json.loads(run("docker", "inspect", project.do("ps", "-aq", "node3", check=False).stdout.strip()
                           or project.container("node3")).stdout)[0]["State"]
    assert state["ExitCode"] == 0
    project.do("start", "node3")
    wait_until(project.is_whole, "HAProxy sees it again", deadline=60)


def test_a_log_entry_reaches_postgres(project):
    request = urllib.request.Request(f"http://127.0.0.1:{project.ports[8080]}/logs/add", method="POST",
                                     data=b'[{"msg":"through the balancer","room":"r"}]',
                                     headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200

    def stored():
        query = "select count(*) from log_entry where msg = 'through the balancer'"
        return project.do("exec", "-T", "postgres", "env", "PGPASSWORD=muster", "psql", "-h", "127.0.0.1", "-U", "muster",
                          "-Atc", query, check=False).stdout.strip() == "1"
    wait_until(stored, "the entry is a row", deadline=60)


def read_objects(link, count):
    """JSON objects from a stream that has nothing between them."""
    text, decoder, found = "", json.JSONDecoder(), []
    while len(found) < count:
        text += link.recv(65536).decode()
        while text:
            try:
                value, end = decoder.raw_decode(text)
            except ValueError:
                break
            found.append(value)
            text = text[end:].lstrip()
    return found


def test_game_servers_hear_each_other(project):
    links = []
    for name in ("one", "two", "three"):
        link = socket.create_connection(("127.0.0.1", project.ports[1337]), timeout=20)
        link.sendall(json.dumps({"type": "handshake", "version": 1, "name": name, "color": "00aaff", "prefix": "[x]",
                                 "playerCount": 0}).encode())
        acknowledge = read_objects(link, 1)[0]
        assert acknowledge["type"] == "acknowledge"
        links.append(link)
    wait_until(lambda: [project.metric(number, "muster_relay_servers") for number in (1, 2, 3)] == [1, 1, 1],
               "each is on a node of its own")
    links[0].sendall(b'{"type":"message","identifier":0,"username":"u","content":"hello"}')
    for link in links[1:]:
        message = {}
        while message.get("type") != "message":
            message = read_objects(link, 1)[0]
        assert message["content"] == "hello"
    for link in links:
        link.close()


async def test_chat_reaches_everybody(project):
    clients = [await Client.connect(project, "/chat") for _ in range(3)]
    for number, client in enumerate(clients):
        await client.send({"action": "login", "token": f"user-{number}"})
        await client.next_of(lambda m: m.get("info") == "connected")
    assert [project.metric(number, "muster_chat_logged_in") for number in (1, 2, 3)] == [1, 1, 1]
    await clients[0].send({"action": "message", "message": "hello"})
    for client in clients:
        await client.next_of(lambda m: m.get("message") == "hello")
        await client.close()


def ask_tracker(port, question):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(5)
        peer.sendto(json.dumps(question).encode(), ("127.0.0.1", port))
        return json.loads(peer.recv(2048))


def test_any_node_knows_a_peer(project):
    share_id = ask_tracker(project.ports[3001], {"action": "announce"})["data"]["shareId"]
    for port in (3002, 3003):
        answer = ask_tracker(project.ports[port], {"action": "push", "shareId": share_id})
        assert "peeraddr" in answer["data"], answer


async def test_a_device_behind_the_balancer(project):
    """It dials HAProxy, and its driver sits wherever HAProxy put it."""
    url = project.ws("/api/server/tcp_dispatch?port=6001&accept=0.0.0.0/0&bearer_token=change-me")
    async with websockets.connect(url, open_timeout=20, max_size=None) as driver:
        reader, writer = await dial_device(project.ports[6001])
        opened = await asyncio.wait_for(driver.recv(), 20)
        assert opened[0] == 0
        writer.write(b"hello")
        received = await asyncio.wait_for(driver.recv(), 20)
        assert received[0] == 2 and received.endswith(b"hello")
        head = received[1:received.index(0, 1) + 9]
        await driver.send(b"\x03" + head + (4).to_bytes(4, "big") + b"back")
        assert await asyncio.wait_for(reader.readexactly(4), 20) == b"back"
        writer.close()


async def dial_device(port):
    """HAProxy listens before nodes do: dialled again until a node holds on."""
    async def try_once():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.wait_for(reader.read(1), 0.5)
        except asyncio.TimeoutError:
            return reader, writer
        writer.close()
        return None
    for _ in range(40):
        link = await try_once()
        if link:
            return link
    raise AssertionError("no node opened the device's port")

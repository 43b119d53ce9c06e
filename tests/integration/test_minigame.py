# SPDX-License-Identifier: MIT
"""/minigame: one scheduler for the cluster, whichever node was asked, that outlives the node it runs on."""

import asyncio
import json
import time
import urllib.error
import urllib.request

import pytest

from lib.chat import ChatClient, MinigameClient
from lib.frames import TEXT, RawWebSocket, frame_bytes
from lib.waiting import until, until_true, wait_until

RUNNING = {"info": "scheduler is running", "period": 600, "offset": 300}
UPDATE = {"info": "update"}
SETTINGS = {"chat_login": "development"}
TOO_MANY = "too many requests, please slow down"


@pytest.fixture
def node(yard):
    return yard.node(**SETTINGS)


@pytest.fixture
def fleet(yard, redis):
    return yard.fleet([redis.url] * 3, **SETTINGS)


def events(node):
    return json.loads(node.get("/api/gaming/events?form=flat")[1])


def post(node, path, token=None, method="POST"):
    """The status of a POST, or of a GET, whose answer has to be empty."""
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    data = b"{}" if method == "POST" else None
    request = urllib.request.Request(node.http(path), data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status != 200 or answer.read() == b""
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


async def servers(nodes):
    """A game server on each node, once the bus has greeted them all."""
    return [await MinigameClient.connect(node) for node in nodes]


async def start(server, **request):
    """Starts the scheduler; every request may come before a runner is known."""
    while True:
        answer = await server.ask(action="scheduler_start", **request)
        if "error" not in answer:
            return answer
        assert "cannot be reached" in answer["error"]
        await asyncio.sleep(0.05)


async def next_info(server):
    """The next message that is no update."""
    return await server.next_of(lambda message: message != UPDATE)


async def test_start_info_stop(node):
    server, = await servers([node])
    assert await server.ask(action="scheduler_info") == {"info": "scheduler is not running"}
    assert await server.ask(action="scheduler_stop") == {"info": "scheduler is not running"}
    assert await server.ask(action="scheduler_start") == UPDATE
    assert await server.next() == RUNNING
    assert await server.ask(action="scheduler_info") == RUNNING
    assert await server.ask(action="scheduler_start", period=20, offset=7) == UPDATE
    assert await server.next() == {**RUNNING, "period": 20, "offset": 7}
    assert await server.ask(action="scheduler_stop") == {"info": "scheduler is stopped"}
    assert await server.ask(action="scheduler_info") == {"info": "scheduler is not running"}


async def test_the_events(node):
    assert events(node) == {"id": "HLG-0", "enough_players": False, "next_game": "boomer", "start_at": 0,
                            "reg_start_at": 0, "reg_end_at": 0, "players": []}
    server, = await servers([node])
    now = int(time.time())
    await start(server, offset=40)
    await next_info(server)
    first = events(node)
    assert now <= first["reg_start_at"] <= first["reg_end_at"] <= first["start_at"] == first["reg_start_at"] + 40
    assert (first["id"], first["next_game"], first["enough_players"], first["players"]) == ("HLG-1", "boomer", False, [])
    players = [await ChatClient.member(node, f"p{i}") for i in range(2)]
    await start(server)
    await next_info(server)
    second = events(node)
    assert (second["id"], second["next_game"], second["enough_players"]) == ("HLG-2", "speedspinner", True)
    assert sorted(second["players"]) == ["p0", "p1"]
    await start(server)
    await next_info(server)
    assert events(node)["next_game"] == "boomer"
    del players


async def test_the_events_as_the_game_client_reads_them(node):
    assert json.loads(node.get("/api/gaming/events")[1]) == []
    server, = await servers([node])
    players = [await ChatClient.member(node, f"p{i}") for i in range(2)]
    await start(server, offset=40)
    await next_info(server)
    flat = events(node)
    (event,) = json.loads(node.get("/api/gaming/events")[1])
    names = sorted(event.pop("players"), key=lambda player: player["id"])
    assert names == [{"id": f"p{i}", "nickname": f"p{i}", "paragonAddress": ""} for i in range(2)]
    assert event == {
        "id": "HLG-1", "miniGame": "boomer", "results": None, "policyLink": "",
        "parameters": [{"startsAt": flat["start_at"], "registrationStartsAt": flat["reg_start_at"],
                        "registrationEndsAt": flat["reg_end_at"], "currency": "HTO", "entryFee": 200, "rewardPool": 1200}],
        "settings": {"numberOfLaps": 20, "numberOfPlayers": 10, "map": ""},
    }
    del players


async def win(nodes, turn):
    """Rounds until one has drawn alice, who wins it: her balance has outlived `turn` games. Returns what is to be kept open."""
    all_ = await servers(nodes)
    player = await ChatClient.member(nodes[0], "alice")
    await until(lambda: number_of(events(nodes[0])) >= turn, "numbers go on")
    drawn = False
    while not drawn:
        before = number_of(events(nodes[0]))
        await start(all_[0], period=1000)
        await until(lambda: number_of(events(nodes[0])) > before, "a new round")
        drawn = "alice" in events(nodes[0])["players"]
    number = number_of(events(nodes[0]))
    await all_[0].send({"action": "game_end", "id": f"HLG-{number}", "leaderboard": [{"id": "alice", "position": 1}]})
    answer = await all_[0].next_of(lambda message: "data" in message or "error" in message)
    assert answer["data"] == [{"id": "alice", "won": 396, "balance": 396 * (turn + 1)}]
    return all_, player


async def test_balances_and_numbers_outlive_all_nodes(yard, redis):
    """A ledger is no lease: also when each node released its claims, and when Redis was full of nothing else."""
    for turn, stop in enumerate(("stop", "kill", "stop")):
        nodes = yard.fleet([redis.url] * 2, lease="1s", **SETTINGS)
        all_, player = await win(nodes, turn)
        for node in nodes:
            getattr(node, stop)()
        del player


async def test_rounds_come_by_themselves(node):
    server, = await servers([node])
    await start(server, period=1, offset=0)
    await server.next()
    begin = time.monotonic()
    for _ in range(2):
        assert await server.next() == UPDATE
    assert 1.5 < time.monotonic() - begin < 4
    assert events(node)["id"] in ("HLG-3", "HLG-4")


async def test_ten_of_many_players(node):
    server, = await servers([node])
    players = [await ChatClient.member(node, f"p{i}") for i in range(25)]
    twice = await ChatClient.member(node, "p0")
    chosen = set()
    for _ in range(12):
        await start(server)
        await next_info(server)
        now = events(node)["players"]
        assert len(now) == len(set(now)) == 10
        chosen.update(now)
    assert len(chosen) > 15
    assert sorted((await server.ask(action="online_players"))["online_players"]) == sorted(f"p{i}" for i in range(25))
    del players, twice


async def test_the_end_of_a_game(node):
    server, = await servers([node])
    players = [await ChatClient.member(node, f"p{i}") for i in range(6)]

    async def end(**request):
        return await server.ask(action="game_end", **request)
    board = [{"id": f"p{i}", "position": i + 1} for i in range(6)]
    assert await end(id="HLG-1", leaderboard=board) == {"error": "scheduler not running"}
    await start(server)
    await next_info(server)
    for wrong, words in [
        ({"id": "HLG-9", "leaderboard": board}, "game with id HLG-9 not found in list of running games"),
        ({"id": "HLG-1"}, "leaderboard is empty"),
        ({"id": "HLG-1", "leaderboard": []}, "leaderboard is empty"),
        ({"id": "HLG-1", "leaderboard": [{"id": "p0"}]}, "position not found for player id p0"),
        ({"id": "HLG-1", "leaderboard": [{"id": "p0", "position": "1"}]}, "position not found for player id p0"),
        ({"id": "HLG-1", "leaderboard": [5]}, "position not found for player id "),
        ({"id": "HLG-1", "leaderboard": [{"id": "x", "position": 1}]},
         "player id x not found in the pool of existing players"),
        ({"id": "HLG-1", "leaderboard": [{"id": "p0", "position": 1}] * 2}, "player id p0 is in the leaderboard twice"),
        ({"id": 1, "leaderboard": board}, "id has to be a string"),
        ({"leaderboard": board}, "id has to be a string"),
        ({"id": "HLG-1", "leaderboard": {}}, "leaderboard has to be a list"),
    ]:
        assert await end(**wrong) == {"error": words}
    won = [576, 416, 288, 192, 128, 0]  # of 1000 + 6 * 100
    assert await end(id="HLG-1", leaderboard=board) == {"action": "balance_update", "data": [
        {"id": f"p{i}", "won": amount, "balance": amount} for i, amount in enumerate(won)]}
    assert "not found in list of running games" in (await end(id="HLG-1", leaderboard=board))["error"]
    await start(server)
    await next_info(server)
    answer = await end(id="HLG-2", leaderboard=[{"id": "p1", "position": 1}, {"id": "p0", "position": 99}])
    assert answer["data"] == [{"id": "p1", "won": 432, "balance": 848}, {"id": "p0", "won": 0, "balance": 576}]
    del players


@pytest.mark.parametrize("request_, words", [
    ({"action": "dance"}, "unknown action"), ({"action": 5}, "action has to be"), ({}, "action is missing"),
    ([], "not a JSON object"), ("{", "not a JSON object"), ("[" * 100000, "not a JSON object"), (b"\x01", "not a JSON object"),
    ({"action": "scheduler_start", "period": 0}, "period has to be"),
    ({"action": "scheduler_start", "period": "600"}, "period has to be"),
    ({"action": "scheduler_start", "period": 1.5}, "period has to be"),
    ({"action": "scheduler_start", "period": None}, "period has to be"),
    ({"action": "scheduler_start", "period": 10**12}, "period has to be"),
    ({"action": "scheduler_start", "offset": -1}, "offset has to be"),
    ({"action": "scheduler_start", "offset": []}, "offset has to be"),
])
async def test_wrong_requests(node, request_, words):
    server, = await servers([node])
    await server.send(json.dumps(request_) if isinstance(request_, list) else request_)
    assert words in (await server.next())["error"]
    assert await server.ask(action="scheduler_info") == {"info": "scheduler is not running"}


async def test_nesting_ends_at_128_levels(node):
    def request(levels):
        inner = levels - 1
        return '{"action": "scheduler_info", "x": ' + "[" * inner + "]" * inner + "}"
    server, = await servers([node])
    await server.send(request(129))
    assert "not a JSON object" in (await server.next())["error"]
    await server.send(request(128))
    assert await server.next() == {"info": "scheduler is not running"}


async def test_a_flood_is_slowed_down(node):
    flooder, other = await servers([node, node])
    for _ in range(400):
        await flooder.send({"action": "online_players"})
    answers = [await flooder.next() for _ in range(400)]
    errors = [answer["error"] for answer in answers if "error" in answer]
    assert set(errors) == {TOO_MANY} and 200 < len(errors) <= 300
    assert "online_players" in await other.ask(action="online_players")


async def test_a_flood_of_starts_of_many_holds_nobody_up(yard, redis):
    """Each start is said to all, once the store has it: what waits for that is bounded. (A long turn of the loop
    fails any test.)"""
    node = yard.node(store=redis.url, **SETTINGS)
    honest = await MinigameClient.connect(node)
    await start(honest)
    floods = [RawWebSocket(node, path="/minigame") for _ in range(60)]
    for flood in floods:
        for period in range(1, 101):
            flood.send_while_taken(frame_bytes(TEXT, json.dumps({"action": "scheduler_start", "period": period})))
    seen, end = set(), time.monotonic() + 20
    while TOO_MANY not in seen:
        assert time.monotonic() < end, seen
        seen.add(json.loads(await asyncio.to_thread(floods[-1].next_text)).get("error"))
    for flood in floods:
        await asyncio.to_thread(flood.close)

    async def started():
        return "error" not in await honest.ask(action="scheduler_start")
    await until_true(started, "others' turn comes")
    await honest.close()


async def test_the_webhook(yard, redis):
    nodes = yard.fleet([redis.url] * 2, webhook_token="s3cret", **SETTINGS)
    all_ = await servers(nodes)
    for wrong in (None, "", "s3cre", "s3crett", "x"):
        assert post(nodes[0], "/api/webhook/minigame", wrong) == 401
    assert post(nodes[0], "/api/webhook/minigame", "s3cret") == 200
    for server in all_:
        assert await server.next() == UPDATE
    assert post(nodes[0], "/api/webhook/minigame", "s3cret", "GET") == 200
    for server in all_:
        assert await server.next() == UPDATE
    assert nodes[0].status("/api/webhook/minigame") == 401


async def test_the_webhook_without_a_token(node):
    server, = await servers([node])
    assert post(node, "/api/webhook/minigame") == 200
    assert await server.next() == UPDATE


async def test_the_socket_may_need_a_token(yard):
    import websockets
    node = yard.node(env={"MUSTER_MINIGAME_TOKEN": "t0ken"}, **SETTINGS)
    for headers in ({}, {"Authorization": "Bearer nope"}, {"Authorization": "Basic t0ken"}):
        with pytest.raises(websockets.InvalidStatusCode) as refused:
            await MinigameClient.connect(node, extra_headers=headers)
        assert refused.value.status_code == 401
    server = await MinigameClient.connect(node, extra_headers={"Authorization": "Bearer t0ken"})
    assert await server.ask(action="scheduler_info") == {"info": "scheduler is not running"}


# ------------------------------------------------------------------------------------- cluster


async def test_whichever_node_is_asked(fleet):
    all_ = await servers(fleet)
    players = [await ChatClient.member(node, f"p{i}") for i, node in enumerate(fleet)]

    async def everybody_online():
        for server in all_:
            online = (await server.ask(action="online_players"))["online_players"]
            if sorted(online) != ["p0", "p1", "p2"]:
                return False
        return True
    while not await everybody_online():
        await asyncio.sleep(0.02)
    for turn, server in enumerate(all_):
        await server.send({"action": "scheduler_start", "period": 100 + turn})
        for other in all_:
            assert await other.next() == UPDATE
            assert await next_info(other) == {**RUNNING, "period": 100 + turn}
        await until(lambda: all(events(node)["id"] == f"HLG-{turn + 1}" for node in fleet), "all show the round")
        shown = events(fleet[0])
        assert sorted(shown["players"]) == ["p0", "p1", "p2"]
        assert all(events(node) == shown for node in fleet)
    for turn, server in enumerate(all_):
        await server.send({"action": "game_end", "id": f"HLG-{turn + 1}", "leaderboard": [{"id": "p0", "position": 1}]})
        for other in all_:
            assert (await other.next())["data"] == [{"id": "p0", "won": 396, "balance": 396 * (turn + 1)}]
        error = await server.ask(action="game_end", id=f"HLG-{turn + 1}", leaderboard=[{"id": "p0", "position": 1}])
        assert "not found in list of running games" in error["error"]
    await all_[1].send({"action": "scheduler_stop"})
    for server in all_:
        assert await server.next() == {"info": "scheduler is stopped"}
    del players


async def test_the_scheduler_survives_its_nodes(fleet):
    all_ = await servers(fleet)
    players = [await ChatClient.member(fleet[2], f"p{i}") for i in range(3)]
    await start(all_[2], period=2, offset=1)
    await next_info(all_[2])
    await until(lambda: events(fleet[2])["enough_players"], "a round with the players")
    for dying in (0, 1):
        before = int(events(fleet[2])["id"].removeprefix("HLG-"))
        fleet[dying].kill()
        await until(lambda: int(events(fleet[2])["id"].removeprefix("HLG-")) >= before + 2, "rounds go on")
    shown = events(fleet[2])
    assert sorted(shown["players"]) == ["p0", "p1", "p2"]
    await all_[2].send({"action": "game_end", "id": shown["id"], "leaderboard": [{"id": "p1", "position": 2}]})
    answer = await all_[2].next_of(lambda message: "data" in message or "error" in message)
    assert answer["data"] == [{"id": "p1", "won": 286, "balance": 286}]
    del players


async def test_one_round_at_a_time_however_many_nodes(fleet):
    all_ = await servers(fleet)
    await start(all_[0], period=1, offset=0)
    numbers = []
    end = time.monotonic() + 4
    while time.monotonic() < end:
        number = int(events(fleet[1])["id"].removeprefix("HLG-"))
        if not numbers or numbers[-1] != number:
            numbers.append(number)
        await asyncio.sleep(0.02)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert 3 <= len(numbers) <= 6


async def test_the_scheduler_outlives_redis(fleet, redis):
    all_ = await servers(fleet)
    await start(all_[1])
    await next_info(all_[1])
    await until(lambda: all(events(node)["id"] == "HLG-1" for node in fleet), "all show the round")
    redis.kill()
    await until(lambda: not any(node.is_ready() for node in fleet), "nobody is ready")
    await all_[0].send({"action": "scheduler_info"})
    assert "cannot be reached" in (await all_[0].next_of(lambda message: "error" in message))["error"]
    redis.start()
    await until(lambda: all(node.is_ready() for node in fleet), "all are ready")

    async def running(server):
        """It says so, once its node knows who runs it."""
        answer = {"error": ""}
        while "error" in answer:
            await server.send({"action": "online_players"})  # behind what was said before
            await server.next_of(lambda message: "online_players" in message)
            await server.send({"action": "scheduler_info"})
            answer = await next_info(server)
        return answer
    assert await running(all_[0]) == RUNNING
    assert [events(node)["id"] for node in fleet] == ["HLG-1"] * 3
    fleet[0].kill()
    fleet[1].kill()
    assert await running(all_[2]) == RUNNING
    assert events(fleet[2])["id"] == "HLG-1"


# ------------------------------------------------------------------- what the store has not got


@pytest.fixture
def behind_a_proxy(yard, redis):
    """Two nodes; the first, who runs the scheduler, reaches Redis through a proxy."""
    proxy = yard.proxy(redis)
    first = yard.node(store=proxy.url, lease="2s", **SETTINGS)
    return proxy, first, yard.node(store=redis.url, lease="2s", **SETTINGS)


async def refused(server):
    """It is told that nothing came of what it asked for; it is told nothing else before."""
    answer = await server.next_of(lambda message: "error" in message or "data" in message)
    assert "cannot be reached" in answer.get("error", ""), answer


async def test_a_round_that_the_store_has_not_got_is_not_shown(behind_a_proxy):
    proxy, first, other = behind_a_proxy
    here, there = await servers([first, other])
    await start(here, period=1000)
    await until(lambda: events(other)["id"] == "HLG-1", "the round is known")
    proxy.freeze()
    await here.send({"action": "scheduler_start", "period": 1000})
    await here.send({"action": "online_players"})
    await here.next_of(lambda message: "online_players" in message)  # so what came before was carried out
    assert events(first)["id"] == "HLG-1"
    await refused(here)
    first.kill()
    await there.next_of(lambda message: message.get("period") == 1000)
    answer = {"error": ""}
    while "error" in answer:
        await there.send({"action": "scheduler_start", "period": 1001})
        answer = await there.next_of(lambda message: "error" in message or message.get("period") == 1001)
    assert events(other)["id"] == "HLG-2"


async def test_a_game_whose_end_the_store_has_not_got_is_paid_by_the_next_runner_and_once(behind_a_proxy):
    proxy, first, other = behind_a_proxy
    end = {"action": "game_end", "leaderboard": [{"id": "p", "position": 1}]}
    paid = {"action": "balance_update", "data": [{"id": "p", "won": 396, "balance": 396}]}
    here, there = await servers([first, other])
    player = await ChatClient.member(other, "p")
    game, rounds = "HLG-0", 0
    while "p" not in events(first)["players"]:
        await start(here, period=1000)
        rounds += 1
        game = f"HLG-{rounds}"
        await until(lambda: events(first)["id"] == events(other)["id"] == game, "the round is known")
    proxy.freeze()
    await here.send({**end, "id": game})
    await refused(here)
    proxy.cut()  # what was on its way is lost
    proxy.thaw()
    proxy.mend()
    await until(lambda: first.is_ready(), "its link is back")
    first.kill()
    answer = {}
    while "data" not in answer:
        await there.send({**end, "id": game})
        answer = await there.next_of(lambda message: "data" in message or "error" in message)
        assert "data" in answer or "cannot be reached" in answer["error"], answer
    assert answer == paid
    assert "not found" in (await there.ask(**end, id=game))["error"]
    del player


async def test_a_round_that_was_shown_outlives_a_redis_that_loses_its_data(yard, redis):
    """The runner has not heard yet that the store has it when that loses all; and comes back before the one who does."""
    slow, late = yard.proxy(redis), yard.proxy(redis)
    runner, node = (yard.node(store=proxy.url, lease="6s", **SETTINGS) for proxy in (slow, late))

    def ahead():
        shown = events(node)
        return shown if number_of(shown) > number_of(events(runner)) else None

    there, = await servers([runner])
    await start(there, period=2)
    slow.delay = 0.3
    shown = await until(ahead, "a round that only the other one has heard of")
    late.cut()
    slow.drop_links()
    await asyncio.to_thread(redis.restart_empty)
    slow.delay = 0
    assert number_of(events(runner)) < number_of(shown), "it had not heard"
    looks, end = [], time.monotonic() + 20
    while not looks or number_of(looks[-1]) <= number_of(shown):
        assert time.monotonic() < end, "it goes on"
        looks += [events(node), events(runner)]
        if len(looks) == 150:  # the runner has been back for long, and the next round was due
            late.mend()
        await asyncio.sleep(0.02)
    assert all(look == shown for look in looks if look["id"] == shown["id"])


def number_of(round_):
    return int(round_["id"].removeprefix("HLG-"))


async def test_no_round_without_knowing_who_is_online(yard):
    """Who is logged in and what the scheduler does live on different servers: the first cannot be reached when the node
    that will run it starts."""
    shards = [yard.redis(), yard.redis()]
    proxies = [yard.proxy(shard) for shard in shards]
    names = ("a", "b")  # what a server has hangs on its name
    direct = ",".join(f"{shard.url}#{name}" for shard, name in zip(shards, names))

    def home_of(key):
        return wait_until(lambda: [i for i in range(2) if key in shards[i].command("KEYS", "*")], f"{key} is there")[0]

    probe = yard.node(store=direct, **SETTINGS)
    await ChatClient.member(probe, "anybody")
    online = home_of(b":r:chat:online")
    assert online != home_of(b":r:minigame"), "else this shows nothing"
    yard.dismiss(probe)
    proxies[online].cut()
    runner = yard.begin(store=",".join(f"{proxy.url}#{name}" for proxy, name in zip(proxies, names)), lease="2s", **SETTINGS)
    await until(lambda: runner.status("/healthz") == 200, "it serves without")
    early, = await servers([runner])
    while "error" in await early.ask(action="scheduler_info"):  # until it has its seat, before the other one
        await asyncio.sleep(0.05)
    node = yard.node(store=direct, lease="2s", **SETTINGS)
    for player in ("p0", "p1", "p2"):
        await ChatClient.member(node, player)
    there, here = await servers([runner, node])
    refused = {"error": "the players cannot be reached now, please try again"}
    assert await there.ask(action="online_players") == refused
    assert len((await here.ask(action="online_players"))["online_players"]) == 3
    while (answer := await here.ask(action="scheduler_start")) != refused:
        assert "scheduler cannot be reached" in answer["error"]
        await asyncio.sleep(0.05)
    assert events(node)["id"] == "HLG-0"
    proxies[online].mend()
    await start(here)
    await next_info(here)
    assert sorted(events(node)["players"]) == ["p0", "p1", "p2"]

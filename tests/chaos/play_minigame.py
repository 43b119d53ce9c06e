# SPDX-License-Identifier: MIT
"""Minigame: one scheduler for the cluster, whichever node is asked and whatever dies. A round is the same wherever it is shown,
is paid once, and a balance that was told is never taken back; when all is well every game server hears the same.

Winners are paid by position alone: the one that ends a game first uses one of the first three; ends of games that were paid use
the fourth or fifth, so that a prize of those was paid twice."""

import asyncio
import json

import websockets

from play import Comer, Play
from world import LEASE, Expired

PERIOD = 2  # seconds
WELL_WITHIN = 3 * LEASE + 6.0
HEARD_WITHIN = 10.0
FIRST, AGAIN = (1, 2, 3), (4, 5)  # positions
POOL = 1100  # of a leaderboard of one
PRIZES = {1: 36, 2: 26, 3: 18, 4: 12, 5: 8}  # percent
PAID_AGAIN = [POOL * PRIZES[position] // 100 for position in AGAIN]
TWICE, TAKEN_BACK, TWO_WAYS = PROMISES = (
    "minigame: games paid twice", "minigame: balances taken back", "minigame: rounds shown two ways")
BACK, STANDS, DIFFER, UNPAID, NOT_SAME = PROMISES_OF_CALM = (
    "minigame: rounds begun again while all is well", "minigame: no scheduler while all is well",
    "minigame: nodes that show different rounds while all is well", "minigame: games not paid while all is well",
    "minigame: other results for some while all is well")


def number_of(round_):
    return int(round_["id"].removeprefix("HLG-"))


class Ledger:
    """All that was told of anybody's balance."""

    def __init__(self, tally):
        self.tally = tally
        self.told = {}  # (player, balance): what was won for it

    def take(self, player, won, balance):
        if won in PAID_AGAIN and (player, balance) not in self.told:
            self.tally.broken(TWICE, f"{player} won {won} in a game that was paid")
        before = self.told.setdefault((player, balance), won)
        if before != won:
            self.tally.broken(TAKEN_BACK, f"{player} had {balance} for {before} and for {won}")

    def judge(self):
        """Between two balances lies at least what was won for the second."""
        by_player = {}
        for (player, balance), won in self.told.items():
            by_player.setdefault(player, []).append((balance, won))
        for player, steps in by_player.items():
            steps.sort()
            for (before, _), (balance, won) in zip(steps, steps[1:]):
                if balance - won < before:
                    self.tally.broken(TAKEN_BACK, f"{player} had {before}, then {balance} by winning {won}")
        self.told = {(player, balance): won for player, steps in by_player.items() for balance, won in steps[-1:]}


class GameServer(Comer):
    def __init__(self, play, number):
        self.play, self.number = play, number
        self.socket = self.visit = None
        self.said = []  # results and words of the scheduler on this connection, as texts

    async def once(self):
        visit = self.play.world.visit(self.play.rng, self.number == 0)
        async with websockets.connect(visit.ws("/minigame"), compression=None, ping_interval=None, max_queue=None,
                                      open_timeout=10, close_timeout=1) as socket:
            visit.arrived(socket.response_headers)
            self.said, self.visit, self.socket = [], visit, socket
            try:
                async for text in socket:
                    self._take(json.loads(text))
            finally:
                self.socket = None
            if not self.play.stopping:
                self.play.world.lost("minigame", visit, f"closed {socket.close_code} {socket.close_reason!r}")

    def _take(self, message):
        tally = self.play.tally
        tally.count("minigame: messages received")
        if message.get("action") == "balance_update":
            for entry in message["data"]:
                self.play.ledger.take(entry["id"], entry["won"], entry["balance"])
                self.said.append((entry["id"], entry["won"], entry["balance"]))
        elif "error" in message:
            tally.count("minigame: errors answered")
        elif message["info"] != "update":
            self.said.append(message["info"])

    def words(self, mark):
        """What the scheduler said since; games of before may be paid late meanwhile."""
        return [one for one in self.said[mark:] if isinstance(one, str)]

    def prizes_since(self, visit, mark):
        """What was told after that; an older game may have had the same winner and prize."""
        fresh = self.said[mark:] if self.visit is visit else self.said
        return [told[:2] for told in fresh]

    async def ask(self, **request):
        if self.socket is not None:
            self.play.tally.count("minigame: messages sent")
            try:
                await self.socket.send(json.dumps(request))
            except websockets.ConnectionClosed:
                pass

    async def end_game(self, round_, position):
        """Ends it with one winner; who that is, the number says, so that those of rounds nearby differ."""
        player = sorted(round_["players"])[number_of(round_) % len(round_["players"])]
        await self.ask(action="game_end", id=round_["id"], leaderboard=[{"id": player, "position": position}])
        return player, POOL * PRIZES[position] // 100


class MinigamePlay(Play):
    name = "minigame"
    flag = "--chat-login"
    promises, promises_of_calm = PROMISES, PROMISES_OF_CALM

    def __init__(self, tally, count=4):
        super().__init__(tally)
        self.ledger = Ledger(tally)
        self.servers = [GameServer(self, number) for number in range(count)]
        self.rounds = {}  # by id, as first shown
        self.highest = 0  # in a time of calm

    def clients(self):
        return self.servers

    async def start(self, world, rng):
        await super().start(world, rng)
        self.tasks.append(asyncio.create_task(self._play()))

    def _here(self):
        return [server for server in self.servers if server.socket is not None]

    # --- rounds, as nodes show them

    async def _look(self, node):
        """The round that a node shows, or None."""
        try:
            status, body = await asyncio.to_thread(node.get, "/api/gaming/events?form=flat")
        except OSError:
            return None
        return self._note(json.loads(body), node) if status == 200 else None

    def _note(self, round_, node):
        if number_of(round_) > 0 and self.rounds.setdefault(round_["id"], round_) != round_:
            self.tally.broken(TWO_WAYS, f"{node.name} shows {round_} and not {self.rounds[round_['id']]}")
        return round_

    # --- in the storm

    async def _play(self):
        """Ends each game once, now and then from two servers at once, and those that were paid again."""
        ended, prize, marks = None, None, {}
        while not self.stopping:
            await asyncio.sleep(0.3)
            if self.world.calm or not self._here():
                continue
            round_ = await self._look(self.rng.choice(self.world.nodes))
            server = self.rng.choice(self._here()) if self._here() else None
            if round_ is None or server is None or not round_["players"]:
                continue
            if round_["id"] != ended:
                ended = round_["id"]
                marks = {other: (other.visit, len(other.said)) for other in self.servers}
                prize = await server.end_game(round_, FIRST[number_of(round_) % 3])
            elif any(prize in other.prizes_since(*marks[other]) for other in self._here()):
                self.tally.count("minigame: ends of games that were paid")
                await server.end_game(round_, self.rng.choice(AGAIN))

    # --- when all is well

    async def settle(self, world):
        self.ledger.judge()
        try:
            await world.until(lambda: len(self._here()) == len(self.servers), "game servers", WELL_WITHIN)
            await self._runs(world)
            await self._one_round_everywhere(world)
            await self._same_results(world)
        except Expired as missing:
            self.tally.broken(STANDS, missing)

    async def _runs(self, world):
        """The scheduler says so, to all; it is started when it never ran."""
        end = world.patience.lived + WELL_WITHIN
        while world.patience.lived < end:
            marks = {server: len(server.said) for server in self.servers}
            action = {"action": "scheduler_info"} if self.highest else {
                "action": "scheduler_start", "period": PERIOD, "offset": 1}
            await self.rng.choice(self.servers).ask(**action)
            try:
                await world.until(lambda marks=marks: all(server.words(marks[server]) for server in self.servers), "words", 2)
            except Expired:
                continue
            for server in self.servers:
                if server.words(marks[server])[0] != "scheduler is running":
                    self.tally.broken(STANDS, f"at {server.visit.where()}: {server.words(marks[server])[0]}")
            return
        raise Expired("what the scheduler says reaches not all game servers")

    async def _one_round_everywhere(self, world):
        """All nodes show the same, and soon the next one."""
        before, end = None, world.patience.lived + WELL_WITHIN
        while world.patience.lived < end:
            shown = await asyncio.gather(*map(self._look, world.nodes))
            self.tally.count("minigame: rounds looked at while all is well", len(shown))
            if None in shown or len({json.dumps(round_, sort_keys=True) for round_ in shown}) > 1:
                await asyncio.sleep(0.05)
                continue
            number = number_of(shown[0])
            if number < self.highest:
                self.tally.broken(BACK, f"HLG-{number} after HLG-{self.highest}")
            self.highest = max(self.highest, number)
            if before is not None and number > before:
                return
            before = number
            await asyncio.sleep(0.1)
        self.tally.broken(DIFFER if before is None else STANDS, f"{[round_ and round_['id'] for round_ in shown]}")

    async def _same_results(self, world):
        """Two end the same game at once: one result, which all hear, once."""
        round_ = None
        while round_ is None or not round_["players"]:
            round_ = await self._look(self.rng.choice(world.nodes))
        marks = {server: len(server.said) for server in self.servers}
        one, other = self.rng.sample(self.servers, 2)
        prizes = [await one.end_game(round_, FIRST[0]), await other.end_game(round_, FIRST[1])]

        def results(server):
            return [told for told in server.said[marks[server]:] if told[:2] in prizes]
        try:
            await world.until(lambda: all(map(results, self.servers)), "results", HEARD_WITHIN)
        except Expired:
            self.tally.broken(UNPAID, f"{round_['id']}: {[results(server) for server in self.servers]}")
            return
        await self.rng.choice(self.servers).end_game(round_, AGAIN[0])
        await self._runs(world)  # what was said before it has come
        for server in self.servers:
            if results(server) != results(self.servers[0]) or len(results(server)) != 1:
                self.tally.broken(NOT_SAME, f"{round_['id']}: {[results(server) for server in self.servers]}")
        self.tally.count("minigame: games paid while all is well")

    async def stop(self):
        await super().stop()
        self.ledger.judge()

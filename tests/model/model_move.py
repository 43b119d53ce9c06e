# SPDX-License-Identifier: MIT
"""A partition moves from server X to server Y while nodes run (docs/store.md, "A list that changes"; store/redis/moves.lua,
fence.lua, mover.c, change.c).

Two nodes append numbers to what the partition keeps, as calls: one at a time, told again until they are answered, and the
server takes each number once. A reader (a watch, the log's tail, the sink) reads on from its place. Nodes begin with the old
list, and start again with `old;new`; then the partition may move, by whichever of them is quicker, and they start again with
the new list. A node may stand still with a command on its way, a mover may die or be slow, a server may go back to what it
had a moment ago. What must hold: what was accepted is stored once where the partition is in the end, and read once."""

from typing import NamedTuple

from model_stream import put

WITH_OLD, WITH_BOTH, WITH_NEW = range(3)
NOBODY = -1


class Rules(NamedTuple):
    roll: bool = True     # nothing moves while a node with the old list is on the roll
    fence: bool = True    # each command looks at the marker, in the same step
    everyone: bool = True  # those of nodes with the old list do, too
    hold: bool = True     # nothing is taken while it is copied
    token: bool = True    # what a mover puts at Y counts while no other one has begun
    commits: bool = True  # it has moved only if the hold is still the mover's
    here: bool = True     # Y says so, too, before anybody uses it there
    spares: bool = True   # Y is not opened where it says that it has the partition
    asks_both: bool = True  # a node that starts, or whose link to X fell, asks Y before it uses X
    lets_go: bool = True  # a mover whose link to X fell begins again


NEW = Rules()


class World(NamedTuple):
    says: tuple = (1, 1)
    pauses: int = 0     # a node stands still for a lease
    slow: int = 0       # movers whose hold runs out
    losses: int = 0     # X goes back to what it had a step before
    restarts: bool = True


class Server(NamedTuple):
    entries: tuple = ()   # (writer, number)
    marker: str = ""      # at X: "", "held", "gone"
    holder: int = NOBODY  # which attempt holds it
    token: int = NOBODY   # at Y: which attempt may put
    here: bool = False


class Node(NamedTuple):
    kind: int = WITH_OLD
    on_roll: bool = True
    moved: bool = False   # it knows that the partition is at Y
    asked: bool = True    # it has heard X and Y since it started, or since X went back
    sent: int = 0         # the number under way; 0: none
    at: int = 0           # to which server
    said: int = 0         # accepted
    paused: bool = False


class Mover(NamedTuple):
    """One attempt: what it has read at X and is about to do."""
    step: str = "begin"   # open, hold, copy, put, close, commit, tell
    copied: tuple = ()


class State(NamedTuple):
    x: Server = Server()
    before: Server = Server()  # what X goes back to
    y: Server = Server()
    nodes: tuple = (Node(), Node())
    movers: tuple = ()
    read: tuple = ()      # what the reader had, in order
    place: tuple = (0, 0)
    pauses: int = 0
    over: tuple = ()      # attempts whose time to hold is over
    losses: int = 0
    ended: bool = False   # the new list is what counts


def begin(world):
    del world
    return State()


def set_x(state, server):
    return state._replace(x=server, before=state.x)


def append(server, entry):
    return server if entry in server.entries else server._replace(entries=server.entries + (entry,))


# ------------------------------------------------------------------------------------------ a node

def learn(rules, state, number):
    """A beat: the roll and the markers of X and of Y. A node that hears that it is gone says so to Y, and then counts on it."""
    node = state.nodes[number]
    if state.x.marker == "gone" and rules.here:
        state = state._replace(y=state.y._replace(here=True))
    moved = node.moved or state.y.here or (state.x.marker == "gone" and not rules.here)
    return state._replace(nodes=put(state.nodes, number, node._replace(moved=moved, asked=True, on_roll=True)))


def answer(world, rules, state, number):
    """The server takes the command that is under way."""
    node = state.nodes[number]
    entry = (number, node.sent)
    server = state.y if node.at else state.x
    fenced = rules.fence and not node.at and (rules.everyone or node.kind == WITH_BOTH)
    if fenced and server.marker == "gone":
        return state._replace(nodes=put(state.nodes, number, node._replace(sent=0, asked=False)))
    if fenced and server.marker == "held" and server.holder not in state.over and rules.hold:
        return None
    server = append(server, entry)
    state = state._replace(y=server) if node.at else set_x(state, server)
    return state._replace(nodes=put(state.nodes, number, node._replace(sent=0, said=max(node.said, entry[1]))))


def node_steps(world, rules, state, number):
    node = state.nodes[number]
    name = "AB"[number]

    def to(**changes):
        return state._replace(nodes=put(state.nodes, number, node._replace(**changes)))

    if node.paused:
        yield f"{name} goes on", to(paused=False)
    if node.sent:
        after = answer(world, rules, state, number)
        if after:
            yield f"{name}'s {node.sent} is taken at {'XY'[node.at]}", after
    if node.paused:
        if node.on_roll:
            yield f"{name} falls off the roll", to(on_roll=False)
        return
    refused = node.kind == WITH_OLD and state.movers
    if not refused and node.kind != WITH_NEW:
        yield f"{name} beats", learn(rules, state, number)
    usable = node.asked or not rules.asks_both
    if not node.sent and node.said < world.says[number] and usable:
        at = 1 if node.moved or node.kind == WITH_NEW else 0
        yield f"{name} says {node.said + 1}", to(sent=node.said + 1, at=at)
    if state.pauses < world.pauses:
        yield f"{name} stands still", to(paused=True)._replace(pauses=state.pauses + 1)
    if node.kind == WITH_OLD and not node.sent and world.restarts:
        yield f"{name} starts again with old;new", to(kind=WITH_BOTH, asked=False, moved=False, on_roll=True)
    if node.kind == WITH_BOTH and state.ended and not node.sent:
        yield f"{name} starts again with the new list", to(kind=WITH_NEW, asked=True, moved=True, on_roll=True)


# ----------------------------------------------------------------------------------------- a mover

def may_move(rules, state):
    return not rules.roll or all(node.kind != WITH_OLD or not node.on_roll for node in state.nodes)


def mover_steps(world, rules, state, number):
    mover = state.movers[number]

    def to(step, copied=mover.copied, **changes):
        return state._replace(movers=put(state.movers, number, Mover(step, copied)), **changes)

    mine = state.x.marker == "held" and state.x.holder == number and number not in state.over
    free = state.x.marker == "" or (state.x.marker == "held" and state.x.holder in state.over)
    if mover.step == "open":
        spared = state.y.here and rules.spares
        yield f"mover {number} opens Y", to("") if spared else to("hold", y=Server(token=number))
    elif mover.step == "hold" and free and number not in state.over:
        yield f"mover {number} holds", to("copy", x=state.x._replace(marker="held", holder=number), before=state.x)
    elif mover.step == "copy":
        yield f"mover {number} copies", to("put", state.x.entries)
    elif mover.step == "put":
        taken = not rules.token or state.y.token == number
        y = state.y._replace(entries=mover.copied + tuple(e for e in state.y.entries if e not in mover.copied)) \
            if rules.token else state.y._replace(entries=mover.copied)
        yield f"mover {number} puts", to("close", y=y) if taken else to("")
    elif mover.step == "close":
        taken = not rules.token or state.y.token == number
        yield f"mover {number} closes", to("commit", y=state.y._replace(token=NOBODY)) if taken else to("")
    elif mover.step == "commit":
        taken = mine or not rules.commits
        yield f"mover {number} commits", to("tell", x=state.x._replace(marker="gone"), before=state.x) if taken else to("")
    elif mover.step == "tell":
        yield f"mover {number} tells Y", to("", y=state.y._replace(here=rules.here))
    if mine and len(state.over) < world.slow:
        yield f"the hold of mover {number} runs out", state._replace(over=state.over + (number,))


# -------------------------------------------------------------------------------------- all of it

def truth(state):
    """Where the partition is."""
    return state.y if state.x.marker == "gone" or state.y.here or state.ended else state.x


def steps_of(world, rules):
    def steps(state):
        for number in (0, 1):
            yield from node_steps(world, rules, state, number)
        for number in range(len(state.movers)):
            yield from mover_steps(world, rules, state, number)
        free = state.x.marker == "" or state.x.holder in state.over
        some = any(node.kind == WITH_BOTH and not node.paused and not node.moved for node in state.nodes)
        if free and some and may_move(rules, state) and not state.ended and len(state.movers) <= world.slow and \
                all(not one.step or at in state.over for at, one in enumerate(state.movers)):
            yield "a mover begins", state._replace(movers=state.movers + (Mover("open"),))
        known = [node for node in state.nodes if node.kind == WITH_BOTH and node.moved]
        if known and state.x.marker == "gone" and not state.ended:
            yield "the new list counts", state._replace(ended=True)
        server = truth(state)
        fresh = tuple(entry for entry in server.entries if entry not in state.read)
        if fresh:
            yield "the reader reads", state._replace(read=state.read + fresh)
        if state.losses < world.losses and state.x != state.before and not state.ended:
            nodes = tuple(node._replace(asked=False, sent=0) for node in state.nodes)
            # What X itself had taken and lost is lost with any server; only markers are looked at.
            x = state.before._replace(entries=state.x.entries)
            movers = tuple(Mover("") for _ in state.movers) if rules.lets_go else state.movers
            yield "X goes back", state._replace(x=x, before=x, nodes=nodes, movers=movers, losses=state.losses + 1)
    return steps


def judge_of(world, rules):
    del world, rules

    def judge(state):
        entries = truth(state).entries
        if len(set(entries)) < len(entries):
            return f"doubled: {entries}"
        for number, node in enumerate(state.nodes):
            for said in range(1, node.said + 1):
                if (number, said) not in entries:
                    return f"lost: {'AB'[number]}'s {said} was accepted, and is not where the partition is"
        return None
    return judge

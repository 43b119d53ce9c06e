# SPDX-License-Identifier: MIT
"""The stream and its readers (docs/store.md, "Stream"): nodes that append calls, two servers whose histories may fork,
a sink that stores what it reads in PostgreSQL, and a live tail.

One lane, and calls of one entry each: lanes and groups of a call share their fate, so that they add no order of
events. What the model leaves out (bytes, batches, locks) is tested on real servers.
"""

from typing import NamedTuple


class Rules(NamedTuple):
    timelines: bool = True  # readers ask whose history it is, and go back to the last place that is shared
    writers: bool = True    # an entry names its (node, call), and readers take each once
    floors: bool = True     # new numbers start above what a writer or the sink has seen
    learned: bool = True    # a tail that takes its position learns the writers of what is there
    ordered: bool = True    # a server that lacks a node's earlier call gets that one first


OLD = Rules(False, False, False, False, False)
NEW = Rules()


class World(NamedTuple):
    """How much may happen."""
    calls: tuple = (1, 1)       # that each node makes
    cuts: int = 1               # links that fall, before or after the server has carried out a call
    failovers: int = 1
    restarts: int = 0           # of the master, with what was saved or with nothing
    file_only: bool = False     # never with nothing
    clocks: tuple = (10, 10)    # of the servers, when the world begins; a call takes a tick
    set_back: int = 0           # so far behind is the clock of a master that was started again
    late: tuple = (False, False)  # nodes that start in the middle
    tail: bool = False          # somebody listens, from some moment on
    trims: bool = True          # what is stored leaves the stream
    keeps: bool = True          # nodes keep what was accepted, until it cannot be lost any more


class Entry(NamedTuple):
    seq: int
    node: int
    call: int


class Key(NamedTuple):
    """The stream as one server has it."""
    identity: int = 0           # made with the stream; 0: there is none
    timeline: int = 0           # the replication history in which the last entry was written
    forks: tuple = ()           # (timeline, seq before its first entry), oldest first
    last: int = 0
    entries: tuple = ()
    known: tuple = (0, 0)       # the last call of each node


class Server(NamedTuple):
    key: Key = Key()
    replid: int = 0
    clock: int = 10


class Node(NamedTuple):
    at: int = -1                # a server; -1: no link
    started: bool = True
    call: int = 0               # the last one made
    waits: bool = False         # for its answer
    seen: int = 0               # the greatest seq it heard of


class Reader(NamedTuple):
    on: bool = False
    at: int = 0
    identity: int = 0
    timeline: int = 0
    seq: int = 0
    had: tuple = (0, 0)         # the last call of each node
    rows: tuple = ()            # (node, call), as they were taken
    latest: tuple = (0, 0)      # seq of the last row of each node
    back: bool = False          # a node's numbers went back
    before: frozenset = frozenset()  # what was there when a tail began


class State(NamedTuple):
    servers: tuple
    master: int                 # the one that the sentinels name
    other: bool                 # the old master still serves those that hang on it
    behind: tuple               # what the replica has not got yet: keys, oldest first
    saved: Key                  # the file from which the master may be restored
    nodes: tuple
    accepted: tuple             # calls that were answered with "stored", of each node
    sink: Reader
    tail: Reader
    now: int
    replids: int                # given out so far
    cuts: int
    failovers: int
    restarts: int


def begin(world):
    servers = (Server(replid=1, clock=world.clocks[0]), Server(replid=1, clock=world.clocks[1]))
    nodes = tuple(Node(at=-1 if late else 0, started=not late) for late in world.late)
    return State(servers, 0, False, (), Key(), nodes, (0, 0), Reader(on=True), Reader(), 0, 1, world.cuts,
                 world.failovers, world.restarts)


def put(items, index, item):
    return items[:index] + (item,) + items[index + 1:]


# ------------------------------------------------------------------------------ what a server does

def append(rules, server, now, node, call, floor):
    """stream_append.lua. Returns the key afterwards, and the call that it lacks before this one, or 0."""
    key = server.key
    if call <= key.known[node]:
        return key, 0
    if rules.ordered and key.known[node] < call - 1:
        return key, key.known[node] + 1
    replid = server.replid
    if not key.identity:
        key = key._replace(identity=replid)
    if rules.timelines and key.timeline != replid:
        key = key._replace(timeline=replid, forks=key.forks + ((replid, key.last),))
    last = max(key.last + 1, server.clock + now)
    if rules.floors:
        last = max(last, floor + 1)
    return key._replace(last=last, entries=key.entries + (Entry(last, node, call),),
                        known=put(key.known, node, call)), 0


def set_key(state, at, key):
    """The replica of a master follows later."""
    server = state.servers[at]
    if key == server.key:
        return state
    behind = state.behind + (key,) if at == state.master and not state.other else state.behind
    return state._replace(servers=put(state.servers, at, server._replace(key=key)), behind=behind)


# ------------------------------------------------------------------------------------------- nodes

def run_call(world, rules, state, number):
    """The server carries out what the node has sent. Returns the state, and whether the answer ends the call."""
    node = state.nodes[number]
    server = state.servers[node.at]
    key, lacks = append(rules, server, state.now, number, node.call, node.seen)
    if lacks and world.keeps:
        key, _ = append(rules, server, state.now, number, lacks, node.seen)
    elif lacks:  # that one is lost for good: the node counts it, and goes on
        key, _ = append(rules._replace(ordered=False), server, state.now, number, node.call, node.seen)
    carried_out = key != server.key
    return (set_key(state, node.at, key)._replace(now=state.now + carried_out), not (lacks and world.keeps))


def node_steps(world, rules, state, number):
    node = state.nodes[number]
    name = "AB"[number]

    def to(after, **changes):
        return after._replace(nodes=put(after.nodes, number, after.nodes[number]._replace(**changes)))

    if not node.started:
        yield f"{name} starts", to(state, started=True, at=state.master)
        return
    again = node.waits or (world.keeps and node.call > 0)  # a new link begins with the last call, once more
    if node.at < 0:
        yield f"{name} connects", to(state, at=state.master, waits=again)
    elif node.at != state.master:
        yield f"{name} moves to the new master", to(state, at=state.master, waits=again)
    if not node.waits and node.call < world.calls[number]:
        yield f"{name} makes call {node.call + 1}", to(state, call=node.call + 1, waits=True)
    if node.waits and node.at >= 0:
        after, done = run_call(world, rules, state, number)
        if done:
            answered = to(after, waits=False, seen=max(node.seen, after.servers[node.at].key.last))
            yield (f"{name} appends at {'XY'[node.at]}",
                   answered._replace(accepted=put(state.accepted, number, node.call)))
        else:
            yield f"{name} brings back what {'XY'[node.at]} lacks", after
        if state.cuts and after != state:
            yield (f"{name} appends at {'XY'[node.at]}, the answer is lost",
                   to(after, at=-1)._replace(cuts=state.cuts - 1))


# ----------------------------------------------------------------------------------------- readers

def find_place(rules, reader, key):
    """Where to read on: the place itself, or the last one that both histories share."""
    if not rules.timelines or not key.identity:
        return reader
    if reader.identity != key.identity:
        return reader._replace(identity=key.identity, timeline=key.timeline, seq=0)
    if reader.timeline != key.timeline:
        names = [timeline for timeline, _ in key.forks]
        after = names.index(reader.timeline) + 1 if reader.timeline in names else 0
        shared = key.forks[after][1] if reader.timeline in names else 0
        return reader._replace(timeline=key.timeline, seq=min(reader.seq, shared))
    return reader


def read_one(rules, reader, key):
    """The reader after the next entry, or None when there is none."""
    reader = find_place(rules, reader, key)
    for entry in key.entries:
        if entry.seq > reader.seq:
            reader = reader._replace(seq=entry.seq)
            if rules.writers and entry.call <= reader.had[entry.node]:
                return reader
            return reader._replace(rows=reader.rows + ((entry.node, entry.call),),
                                   had=put(reader.had, entry.node, max(entry.call, reader.had[entry.node])),
                                   latest=put(reader.latest, entry.node, entry.seq),
                                   back=reader.back or entry.seq <= reader.latest[entry.node])
    return None


def trim(rules, state):
    """stream_state.lua: what the sink has stored may go, as the sink's server sees it."""
    sink, key = state.sink, state.servers[state.sink.at].key
    same = sink.identity == key.identity and sink.timeline == key.timeline
    if rules.timelines and not same:
        return None
    left = tuple(entry for entry in key.entries if entry.seq > sink.seq)
    last = max(key.last, sink.seq) if rules.floors and key.identity else key.last
    if left == key.entries and last == key.last:
        return None
    return set_key(state, sink.at, key._replace(entries=left, last=last))


def reader_steps(world, rules, state):
    sink = state.sink
    if sink.at != state.master:
        yield "the sink moves to the new master", state._replace(sink=sink._replace(at=state.master))
    after = read_one(rules, sink, state.servers[sink.at].key)
    if after:
        yield f"the sink reads at {'XY'[sink.at]}", state._replace(sink=after)
    trimmed = trim(rules, state) if world.trims else None
    if trimmed:
        yield f"the sink trims {'XY'[sink.at]}", trimmed
    tail = state.tail
    if not world.tail:
        return
    if not tail.on:
        key = state.servers[state.master].key
        yield "a listener comes", state._replace(tail=Reader(
            on=True, at=state.master, identity=key.identity, timeline=key.timeline, seq=key.last,
            had=key.known if rules.learned else (0, 0),
            before=frozenset((node, call) for node in (0, 1) for call in range(1, key.known[node] + 1))))
        return
    if tail.at != state.master:
        yield "the tail moves to the new master", state._replace(tail=tail._replace(at=state.master))
    after = read_one(rules, tail, state.servers[tail.at].key)
    if after:
        yield f"the tail reads at {'XY'[tail.at]}", state._replace(tail=after)


# ----------------------------------------------------------------------------------------- servers

def restore(world, state, key):
    """The master starts again, with what some file has; its links fall."""
    replid = state.replids + 1
    server = state.servers[state.master]
    server = server._replace(key=key, replid=replid, clock=server.clock - world.set_back)
    nodes = tuple(node._replace(at=-1 if node.at == state.master else node.at) for node in state.nodes)
    return state._replace(servers=put(state.servers, state.master, server), nodes=nodes, replids=replid, behind=(),
                          restarts=state.restarts - 1)


def demote(state):
    """The sentinels have made a replica of the old master: its links fall."""
    old = 1 - state.master
    nodes = tuple(node._replace(at=-1 if node.at == old else node.at) for node in state.nodes)
    move = {reader: getattr(state, reader)._replace(at=state.master) for reader in ("sink", "tail")}
    return state._replace(other=False, nodes=nodes, behind=(), **move,
                          servers=put(state.servers, old, state.servers[state.master]._replace(
                              clock=state.servers[old].clock)))


def server_steps(world, state):
    if state.other:
        yield "the old master is demoted", demote(state)
    elif state.behind:
        replica = 1 - state.master
        yield "the replica follows", state._replace(
            servers=put(state.servers, replica, state.servers[replica]._replace(key=state.behind[0])),
            behind=state.behind[1:])
    if state.failovers and not state.other:
        new = 1 - state.master
        replid = state.replids + 1
        yield "fail-over", state._replace(
            master=new, other=True, behind=(), replids=replid, failovers=state.failovers - 1,
            servers=put(state.servers, new, state.servers[new]._replace(replid=replid)))
    if state.restarts and not state.other:
        yield "the master is saved", state._replace(saved=state.servers[state.master].key)
        if not world.file_only:
            yield "the master starts empty", restore(world, state, Key())
        if state.saved.identity:
            yield "the master starts from its file", restore(world, state, state.saved)


def steps_of(world, rules):
    def steps(state):
        for number in (0, 1):
            yield from node_steps(world, rules, state, number)
        yield from reader_steps(world, rules, state)
        yield from server_steps(world, state)
    return steps


# ---------------------------------------------------------------------------------------- judgement

def settle(world, rules, state):
    """What comes of it when no more faults happen: all are at the master, all calls are answered, all is read."""
    if state.other:
        state = demote(state)
    for number, node in enumerate(state.nodes):
        again = node.waits or (world.keeps and node.call > 0)
        state = state._replace(nodes=put(state.nodes, number, node._replace(at=state.master, waits=again)))
        while state.nodes[number].waits:
            state, done = run_call(world, rules, state, number)
            if done:
                state = state._replace(
                    accepted=put(state.accepted, number, node.call),
                    nodes=put(state.nodes, number, state.nodes[number]._replace(waits=False)))
    for name in ("sink", "tail"):
        reader = getattr(state, name)._replace(at=state.master)
        while reader.on:
            after = read_one(rules, reader, state.servers[state.master].key)
            if after is None:
                break
            reader = after
        state = state._replace(**{name: reader})
    return state


def judge_of(world, rules):
    def judge(state):
        for who, rows in (("sink", state.sink.rows), ("tail", state.tail.rows)):
            if len(set(rows)) != len(rows):
                return f"doubled: the {who} took {rows}"
        if any(row in state.tail.before for row in state.tail.rows):
            return f"replayed: the tail took {state.tail.rows}, {set(state.tail.before)} was there before"
        end = settle(world, rules, state)
        if world.cuts == 0 and end.sink.back:
            return f"numbered back: the sink stores {end.sink.rows}"
        there = {(entry.node, entry.call) for entry in end.servers[end.master].key.entries}
        missing = there - set(end.sink.rows)
        if missing:
            return f"skipped: the sink never stores {missing}"
        if world.keeps and any((node, call) not in end.sink.rows for node in (0, 1)
                               for call in range(1, end.accepted[node] + 1)):
            return f"lost: {end.accepted} were accepted, the sink stores {end.sink.rows}"
        if end.tail.on and there - set(end.tail.rows) - end.tail.before:
            return f"skipped: the tail never hears {there - set(end.tail.rows) - end.tail.before}"
        if len(set(end.sink.rows)) != len(end.sink.rows):
            return f"doubled: the sink stores {end.sink.rows}"
        if end.tail.on and any(row in end.tail.before for row in end.tail.rows):
            return f"replayed: the tail took {end.tail.rows}, {set(end.tail.before)} was there before"
        return None
    return judge

# SPDX-License-Identifier: MIT
"""A history and its watches (docs/store.md, "History"): nodes that append and watch, two servers whose histories may
fork, links that fall. Each node has one client, who hears what the node's watch delivers from the watch's start on.
"""

from typing import NamedTuple

from model_stream import put


class Rules(NamedTuple):
    timelines: bool = True  # a watch asks whose history it is, and goes back to the last place that is shared
    learned: bool = True    # a node that takes a position learns the writers of what is there
    look_back: int = 0      # so many of the newest entries are looked at again after a lost link


OLD = Rules(False, False, 1)  # 1 stands for the 200 of the first version
NEW = Rules()


class World(NamedTuple):
    says: tuple = (2, 1)        # that each node's client says
    cuts: int = 1
    failovers: int = 1
    restarts: int = 0
    late: tuple = (False, False)
    keeps: bool = True          # what was confirmed is kept, and sent again to a server that lacks it


class Entry(NamedTuple):
    id: int
    writer: int
    number: int


class Key(NamedTuple):
    """The history as one server has it."""
    birth: int = 0              # made with the key; ids count up from it
    timeline: int = 0
    forks: tuple = ()           # (timeline, id before its first entry)
    last: int = 0
    entries: tuple = ()
    taken: tuple = (0, 0)       # the last number of each writer


class Server(NamedTuple):
    key: Key = Key()
    replid: int = 1


class Node(NamedTuple):
    started: bool = True
    at: int = 0                 # a server
    up: bool = True             # its link
    said: int = 0               # numbers given out
    sent: int = 0               # confirmed up to here by the server it is at
    positioned: bool = False
    behind: bool = False        # it has to fetch
    doubted: bool = False       # the link fell since it last fetched
    birth: int = 0
    timeline: int = 0
    last: int = 0
    had: tuple = (0, 0)         # the last number of each writer that was delivered
    heard: tuple = ()           # what its client heard
    before: frozenset = frozenset()  # what was there when the watch began


class State(NamedTuple):
    servers: tuple
    master: int
    other: bool                 # the old master still serves those that hang on it
    behind: tuple               # keys that the replica has not got yet
    nodes: tuple
    replids: int
    cuts: int
    failovers: int
    restarts: int


def begin(world):
    nodes = tuple(Node(started=not late, up=not late) for late in world.late)
    key = Key(birth=100, timeline=1, forks=((1, 100),), last=100)
    return State((Server(key), Server(key)), 0, False, (), nodes, 1, world.cuts, world.failovers, world.restarts)


def append(rules, server, writer, number):
    """history.lua, mode 'a'. Returns the key, and the entry if it was taken."""
    key = server.key
    if number <= key.taken[writer]:
        return key, None
    if not key.birth:
        key = key._replace(birth=server.replid * 100, last=server.replid * 100)
    if rules.timelines and key.timeline != server.replid:
        key = key._replace(timeline=server.replid, forks=key.forks + ((server.replid, key.last),))
    entry = Entry(key.last + 1, writer, number)
    return key._replace(last=entry.id, entries=key.entries + (entry,), taken=put(key.taken, writer, number)), entry


# ------------------------------------------------------------------------------------ what a watch does

def deliver(node, entry):
    node = node._replace(last=entry.id)
    if entry.number <= node.had[entry.writer]:
        return node
    return node._replace(had=put(node.had, entry.writer, entry.number),
                         heard=node.heard + ((entry.writer, entry.number),))


def take_position(rules, node, key):
    return node._replace(positioned=True, behind=False, doubted=False, birth=key.birth, timeline=key.timeline,
                         last=key.last, had=key.taken if rules.learned else node.had,
                         before=frozenset((entry.writer, entry.number) for entry in key.entries))


def place_of(rules, node, key):
    """Behind which id the watch fetches: history.lua, mode 'f'."""
    if node.birth != key.birth:
        return key.entries[0].id - 1 if key.entries else 0
    if rules.timelines and node.timeline != key.timeline:
        names = [timeline for timeline, _ in key.forks]
        if node.timeline not in names:
            return 0
        return min(node.last, key.forks[names.index(node.timeline) + 1][1])
    if not rules.timelines and node.doubted:
        return min(node.last, key.last) - rules.look_back
    return min(node.last, key.last) if not rules.timelines else node.last


def fetch(rules, node, key):
    if not node.positioned:
        return take_position(rules, node, key)
    after = place_of(rules, node, key)
    node = node._replace(birth=key.birth, timeline=key.timeline, last=after if key.birth else node.last,
                         behind=False, doubted=False)
    for entry in key.entries:
        if entry.id > after:
            node = deliver(node, entry)
    return node._replace(last=max(node.last, key.last) if key.birth else 0)


def hear(rules, node, key, entry):
    """A published entry comes in."""
    if not node.positioned or node.behind:
        return node
    other = node.birth != key.birth or (rules.timelines and node.timeline != key.timeline)
    if other or entry.id > node.last + 1:
        return node._replace(behind=True)
    return deliver(node, entry) if entry.id == node.last + 1 else node


# --------------------------------------------------------------------------------------------- steps

def set_key(state, at, key):
    behind = state.behind + (key,) if at == state.master and not state.other else state.behind
    return state._replace(servers=put(state.servers, at, state.servers[at]._replace(key=key)), behind=behind)


def link_falls(node, world, at):
    """What was confirmed a moment ago goes again; the watch has to look."""
    return node._replace(up=False, at=at, sent=0 if world.keeps else node.sent, behind=node.positioned,
                         doubted=node.positioned)


def send(world, rules, state, number):
    """The node's oldest unconfirmed number, to its server, which tells the listeners there."""
    node = state.nodes[number]
    at = node.at
    key, entry = append(rules, state.servers[at], number, node.sent + 1)
    state = state._replace(nodes=put(state.nodes, number, node._replace(sent=node.sent + 1)))
    if entry is None:
        return state
    nodes = tuple(hear(rules, other, key, entry) if other.up and other.at == at else other for other in state.nodes)
    return set_key(state._replace(nodes=nodes), at, key)


def node_steps(world, rules, state, number):
    node = state.nodes[number]
    name = "AB"[number]

    def to(**changes):
        return state._replace(nodes=put(state.nodes, number, node._replace(**changes)))

    if not node.started:
        yield f"{name} starts", to(started=True, up=True, at=state.master)
        return
    if not node.up:
        yield f"{name} connects", to(up=True, at=state.master)
        return
    if node.at != state.master:
        yield f"{name} leaves the old master", state._replace(
            nodes=put(state.nodes, number, link_falls(node, world, state.master)))
    if not node.positioned or node.behind:
        yield f"{name} fetches", state._replace(
            nodes=put(state.nodes, number, fetch(rules, node, state.servers[node.at].key)))
    if node.positioned and node.said < world.says[number]:
        yield f"{name} says {node.said + 1}", to(said=node.said + 1)
    if node.positioned and node.sent < node.said:
        yield f"{name} sends {node.sent + 1}", send(world, rules, state, number)
    if state.cuts:
        yield f"the link of {name} is cut", state._replace(
            cuts=state.cuts - 1, nodes=put(state.nodes, number, link_falls(node, world, state.master)))


def demote(world, state):
    old = 1 - state.master
    nodes = tuple(link_falls(node, world, state.master) if node.started and node.at == old else node
                  for node in state.nodes)
    return state._replace(other=False, behind=(), nodes=nodes,
                          servers=put(state.servers, old, state.servers[state.master]))


def server_steps(world, state):
    replid = state.replids + 1
    if state.other:
        yield "the old master is demoted", demote(world, state)
        return
    if state.behind:
        replica = 1 - state.master
        yield "the replica follows", state._replace(
            servers=put(state.servers, replica, state.servers[replica]._replace(key=state.behind[0])),
            behind=state.behind[1:])
    if state.failovers:
        new = 1 - state.master
        yield "fail-over", state._replace(
            master=new, other=True, behind=(), replids=replid, failovers=state.failovers - 1,
            servers=put(state.servers, new, state.servers[new]._replace(replid=replid)))
    if state.restarts:
        nodes = tuple(link_falls(node, world, state.master) if node.started else node for node in state.nodes)
        yield "the master starts empty", state._replace(
            servers=put(state.servers, state.master, Server(replid=replid)), behind=(), nodes=nodes, replids=replid,
            restarts=state.restarts - 1)


def steps_of(world, rules):
    def steps(state):
        for number in (0, 1):
            yield from node_steps(world, rules, state, number)
        yield from server_steps(world, state)
    return steps


# ----------------------------------------------------------------------------------------- judgement

def settle(world, rules, state):
    if state.other:
        state = demote(world, state)
    for number in (0, 1):
        node = state.nodes[number]
        if node.started:
            node = node._replace(up=True, at=state.master)
            state = state._replace(nodes=put(state.nodes, number, node))
    for _ in range(2):
        for number in (0, 1):
            node = state.nodes[number]
            if node.started and (not node.positioned or node.behind):
                state = state._replace(nodes=put(state.nodes, number,
                                                 fetch(rules, node, state.servers[node.at].key)))
            while state.nodes[number].sent < state.nodes[number].said:
                state = send(world, rules, state, number)
    for number in (0, 1):
        node = state.nodes[number]
        if node.started and node.behind:
            state = state._replace(nodes=put(state.nodes, number, fetch(rules, node, state.servers[node.at].key)))
    return state


def judge_of(world, rules):
    def judge(state):
        end = settle(world, rules, state)
        there = {(entry.writer, entry.number) for entry in end.servers[end.master].key.entries}
        for name, node in zip("AB", end.nodes):
            if len(set(node.heard)) != len(node.heard):
                return f"doubled: the client of {name} hears {node.heard}"
            if node.before & set(node.heard):
                return f"replayed: the client of {name} hears {node.before & set(node.heard)}, said before it came"
            missing = there - node.before - set(node.heard)
            if node.started and missing:
                return f"skipped: the client of {name} never hears {missing}"
        return None
    return judge

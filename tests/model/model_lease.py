# SPDX-License-Identifier: MIT
"""One lease for a node (docs/store.md, "Leases"; roster_beat.lua, store/roster): a node renews one lease on the server,
and its claims name it by a token and live while it does. Two nodes: A claims and may leave, die, stand still, or lose a beat;
B watches. The server may stand still, be replaced by a replica that lacks the last writes, or come back empty.

Time is counted in beats. What must hold: a member whose node lives and is heard is seen, and does not go from the view
and come back; one whose node is dead, or that left, does not stay longer than a lease, or a lease after the fault that hid it."""

from typing import NamedTuple

TTL = 2          # beats: a lease is over later than that after the last one
LEASE = TTL + 1  # and the watchers know
STANDSTILL = 4


class Rules(NamedTuple):
    incarnation: bool = True   # a node whose lease ran out gets another token, and claims again
    reads_deaths: bool = True  # a node that beats hears which leases live, and views drop the members of others
    claims_again: bool = True  # a node that finds another timeline claims all that it has
    grace: bool = True         # a node that is missing at a server that lost its data is held for a lease
    bridges: bool = True       # leases begin again when nobody could renew, and on another timeline
    news: bool = True          # a token above the last that a beat told is news, not over
    lists: bool = True         # a new link asks for the list, whatever its version is called
    renames: bool = True       # a node that finds another timeline takes another token, and its old lease runs out
    waits: bool = True         # what is held is held for longer where the server was not heard meanwhile


NEW = Rules()


class World(NamedTuple):
    ticks: int = 8
    pauses: int = 1
    failovers: int = 0
    losses: int = 0      # the server comes back empty
    standstills: int = 0
    lost: int = 0        # beats of A whose answer is lost
    leaves: int = 0      # A's member goes, and A knows nothing of the key any more
    deaths: bool = True


class Server(NamedTuple):
    birth: int = 0       # of the table; 0: there is none
    line: int = 1        # timeline, as the server calls it
    table_line: int = 0  # as the table has it
    last: int = 0        # token
    version: int = 0
    touched: int = 0
    a: tuple = (0, 0)    # lease of A: token, end; 0: none
    a_old: tuple = (0, 0)  # the one before, that runs out
    b: tuple = (0, 0)
    claim: int = 0       # the token that the key's member names; 0: no member


class Node(NamedTuple):
    token: int = 0
    birth: int = 0
    line: int = 0
    floor: int = 0
    version: int = 0
    last: int = 0
    live: tuple = ()
    leased: int = -1     # until when it is sure of its lease
    fresh: bool = True   # the link is new


class State(NamedTuple):
    now: int = 0
    server: Server = Server()
    replica: Server = Server()
    a: Node = Node()
    b: Node = Node()
    alive: bool = True
    paused: int = 0
    wants: bool = True    # A has a member
    left: int = -1        # since when it has none
    owed: bool = True     # A has to claim, or to release
    view: int = 0         # B's: the token of A's member, or 0
    doubted: bool = True  # B has to read it
    held: int = -1        # until when B holds what it does not find
    grace: int = -1       # until when B counts nobody as over
    beat: bool = True     # A's beat of this tick is still to come
    look: bool = True     # B's
    dead_since: int = -1
    fault: int = -1       # the last that hides a death for a lease
    unseen: int = 0       # beats for which a member that should be seen was not
    flickered: bool = False
    pauses: int = 0
    failovers: int = 0
    losses: int = 0
    standstills: int = 0
    lost: int = 0
    leaves: int = 0


def begin(world):
    return State(pauses=world.pauses, failovers=world.failovers, losses=world.losses, standstills=world.standstills,
                 lost=world.lost, leaves=world.leaves)


def beat_at(rules, server, who, node, now):
    """roster_beat.lua."""
    if not server.birth:
        server = server._replace(birth=100 + server.line, touched=now, table_line=server.line)
    witness = server.birth == node.birth
    gap = now - server.touched
    stood = rules.bridges and (server.table_line != server.line or (witness and gap > 1))
    last = max(server.last, node.floor)
    token, version = node.token, server.version
    mine = getattr(server, who)[0]
    if rules.renames and node.birth and node.line != server.line:
        token = 0
        if who == "a" and mine and not server.a_old[0]:  # one that A never heard of is claimed by nobody
            server = server._replace(a_old=(mine, now + TTL))
    if mine and token:
        token = mine
    elif mine != token or not token:
        if rules.incarnation or not token:
            last += 1
            token = last
        version += 1
    server = server._replace(**{who: (token, now + TTL)}, last=last, table_line=server.line,
                             touched=now if witness or stood or gap <= 1 else server.touched)
    for other in ("a", "a_old", "b"):
        owner, ends = getattr(server, other)
        if owner and stood:
            server = server._replace(**{other: (owner, now + TTL)})
        elif owner and witness and ends < now:
            server = server._replace(**{other: (0, 0)})
            version += 1
    return server._replace(version=version), token


def heard(rules, node, server, token, now):
    """What the node knows after the answer."""
    known = 0 if rules.lists and (node.fresh or node.line != server.line) else node.version
    live = node.live
    if server.birth != node.birth or server.version != known:
        live = tuple(t for t, _ in (server.a, server.a_old, server.b) if t)
    return node._replace(token=token, birth=server.birth, line=server.line, version=server.version, last=server.last,
                         floor=max(node.floor, server.last), live=live, leased=now + TTL, fresh=False)


def is_other(node, server):
    return node.birth != 0 and (node.birth != server.birth or node.line != server.line)


def is_over(rules, state, token):
    if not rules.reads_deaths or (rules.grace and state.grace >= 0):
        return False
    return (token <= state.b.last or not rules.news) and token not in state.b.live


def a_beats(rules, state, answered=True):
    server, token = beat_at(rules, state.server, "a", state.a, state.now)
    if not answered:
        return state._replace(server=server, a=state.a._replace(leased=-1, fresh=True), beat=False, lost=state.lost - 1)
    again = token != state.a.token or (rules.claims_again and is_other(state.a, server))
    return state._replace(server=server, a=heard(rules, state.a, server, token, state.now), beat=False,
                          owed=state.owed or (again and state.wants))


def a_claims(rules, state):
    """The change is published: B hears of it, unless its link is down. What another lease claimed is not released."""
    if not state.wants and state.server.claim != state.a.token:
        return state._replace(owed=False)
    claim = state.a.token if state.wants else 0
    state = state._replace(owed=False, server=state.server._replace(claim=claim))
    return state if state.b.fresh or state.doubted else show(rules, state, claim)


def show(rules, state, token):
    if is_over(rules, state, token):
        token = 0
    else:
        state = state._replace(b=state.b._replace(floor=max(state.b.floor, token)))
    return see(state, token)


def see(state, token):
    return state._replace(view=token, flickered=state.flickered or (state.view > 0 and token == 0 and state.alive and state.wants))


def b_looks(rules, state):
    """B's beat; then it reads the key where it has to, or drops the node whose lease is over."""
    server, token = beat_at(rules, state.server, "b", state.b, state.now)
    if rules.waits and state.now > state.b.leased:
        state = state._replace(held=state.now + LEASE if state.held >= 0 else -1,
                               grace=state.now + LEASE if state.grace >= 0 else -1)
    if is_other(state.b, server):
        state = state._replace(doubted=True, held=state.now + LEASE if rules.grace else -1, grace=state.now + LEASE)
    state = state._replace(server=server, b=heard(rules, state.b, server, token, state.now), look=False)
    if not state.doubted:
        return see(state, 0) if state.view and is_over(rules, state, state.view) else state
    state = state._replace(doubted=False)
    if server.claim:
        return show(rules, state, server.claim)
    return state if state.held >= 0 else see(state, 0)


def tick(rules, state):
    turning = state.alive and state.paused == 0
    return end_holds(rules, state._replace(now=state.now + 1, beat=True, look=True, paused=max(0, state.paused - 1),
                                           unseen=state.unseen + 1 if turning and state.wants and not state.view else 0))


def end_holds(rules, state):
    """B's own clock says that nodes that could come back have."""
    if rules.waits and state.now > state.b.leased:
        return state
    if 0 <= state.held < state.now:
        state = state._replace(held=-1)
        if state.view and not state.server.claim and not state.doubted:
            state = see(state, 0)
    if 0 <= state.grace < state.now:
        state = state._replace(grace=-1)
        if state.view and not state.doubted and is_over(rules, state, state.view):
            state = see(state, 0)
    return state


def new_links(state):
    """Both notice."""
    return state._replace(a=state.a._replace(leased=-1, fresh=True), b=state.b._replace(leased=-1, fresh=True),
                          doubted=True, beat=True, look=True, fault=state.now)


def steps_of(world, rules):
    def steps(state):
        if state.now >= world.ticks:
            return
        turning = state.alive and state.paused == 0
        sure = not state.a.fresh and state.now <= state.a.leased
        if turning and state.beat:
            yield "A beats", a_beats(rules, state)
            if state.lost:
                yield "A beats, and hears nothing", a_beats(rules, state, answered=False)
        if turning and state.owed and sure:
            yield "A claims", a_claims(rules, state)
        if turning and state.leaves and state.wants and state.server.claim:
            yield "A leaves", state._replace(wants=False, left=state.now, leaves=state.leaves - 1, owed=True)
        if state.look:
            yield "B looks", b_looks(rules, state)
        if 0 <= max(state.held, state.grace) < state.now:
            yield "B's holds are over", end_holds(rules, state)
        if not state.look and (not turning or (not state.beat and not (state.owed and sure))):
            yield "a beat later", tick(rules, state)
        if state.replica != state.server:
            yield "the replica follows", state._replace(replica=state.server)
        if state.alive and state.now > 0 and world.deaths:
            yield "A dies", state._replace(alive=False, dead_since=state.now)
        if state.alive and state.now > 0 and state.pauses and state.paused == 0:
            yield "A stands still", state._replace(paused=LEASE + 2, pauses=state.pauses - 1)
        if state.failovers:
            yield "fail-over", new_links(state._replace(server=state.replica._replace(line=state.server.line + 1),
                                                        failovers=state.failovers - 1))
        if state.losses:
            empty = Server(line=state.server.line + 1)
            yield "the server is empty", new_links(state._replace(server=empty, replica=empty, losses=state.losses - 1))
        if state.standstills:
            still = state._replace(now=state.now + STANDSTILL, standstills=state.standstills - 1, beat=True, look=True,
                                   fault=state.now + STANDSTILL)
            yield "the server stands still", still
            yield "the server stands still, links fall", new_links(still)
    return steps


def judge_of(world, rules):
    calm = world.pauses == 0 and world.lost <= 1

    def judge(state):
        after = max(state.dead_since, state.fault + LEASE if state.fault >= 0 else -1)
        if not state.alive and state.view and state.now > after + LEASE and not state.look:
            return f"stays: A died at {state.dead_since}, it is {state.now}"
        gone = state.left >= 0 and state.alive and not state.paused and not state.owed
        if gone and state.view and state.now > max(state.left, state.fault + LEASE if state.fault >= 0 else -1) + LEASE and not state.look:
            return f"stays: A left at {state.left}, it is {state.now}"
        if calm and state.flickered:
            return "flickers: A lives, and B's view lost it"
        if state.unseen > 2 + world.lost:
            return f"dropped: A lives, and is not seen for {state.unseen} beats"
        return None
    return judge

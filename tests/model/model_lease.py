# SPDX-License-Identifier: MIT
"""One lease for a node (docs/store.md, "Leases"; the next step): a node renews one lease on the server, and its claims
name its incarnation and live while that lease does. Two nodes: A claims and may die or stand still; B watches.

Time is counted in beats. What must hold: a member that lives is not dropped from a view for longer than a beat of its
node's, one that is dead does not stay longer than a lease and a beat."""

from typing import NamedTuple

LEASE = 3  # beats


class Rules(NamedTuple):
    incarnation: bool = True   # a node whose lease ran out begins a new incarnation, and claims again
    reads_deaths: bool = True  # a beat tells which leases ran out, and views drop their members
    claims_again: bool = True  # who finds another timeline claims all that it has
    grace: bool = True         # a server that is new to a node lets a lease that it lacks run once before it is over


NEW = Rules()


class World(NamedTuple):
    ticks: int = 9
    pauses: int = 1
    failovers: int = 0


class State(NamedTuple):
    now: int = 0
    alive: bool = True
    paused: int = 0             # beats that A does not turn for
    incarnation: int = 1        # of A, as A knows
    lease: tuple = (0, 0)       # of A at the server: (incarnation, until); 0: none
    claim: int = 0              # the incarnation that the key's member names; 0: no member
    view: int = 0               # B's
    owed: bool = True           # A has to claim
    beat: bool = True           # A's beat of this tick is still to come
    look: bool = True           # B's
    old: tuple = ((0, 0), 0)    # lease and claim as the replica has them
    dead_since: int = -1
    wrong_since: int = -1       # the view lacks a member that lives and turns
    flickered: bool = False     # B's view lost A while it lived
    pauses: int = 0
    failovers: int = 0
    moved: int = -1             # when the server changed last
    found: int = -1             # the change that A knows of


def begin(world):
    return State(pauses=world.pauses, failovers=world.failovers)


def is_over(rules, state):
    """Does the server count A's lease as over? roster_beat.lua."""
    incarnation, until = state.lease
    if incarnation != state.claim or until < state.now:
        return not (rules.grace and state.moved >= 0 and state.now <= state.moved + LEASE)
    return False


def beat(rules, state):
    incarnation, until = state.lease
    gone = incarnation == state.incarnation and until < state.now
    if gone and rules.incarnation:
        state = state._replace(incarnation=state.incarnation + 1, owed=True)
    if rules.claims_again and state.found != state.moved:
        state = state._replace(owed=True, found=state.moved)
    state = state._replace(lease=(state.incarnation, state.now + LEASE), beat=False)
    return state


def claim(state):
    """The change is published: B hears of it."""
    return state._replace(owed=False, claim=state.incarnation, view=state.incarnation)


def look(rules, state):
    """B's beat: who has died, and what the key has. It cleans the key of members whose node's lease is over. What a
    server that is new here lacks is held for a lease: who lives says so by then."""
    if rules.reads_deaths and state.claim and is_over(rules, state):
        state = state._replace(claim=0)
    held = rules.grace and state.moved >= 0 and state.now <= state.moved + LEASE
    view = state.claim or (state.view if held else 0)
    return state._replace(view=view, look=False,
                          flickered=state.flickered or (state.view > 0 and view == 0 and state.alive))


def tick(state):
    dead = state.dead_since
    turning = state.alive and state.paused == 0
    wrong = state.wrong_since
    if not (turning and state.view == 0 and state.now > LEASE):
        wrong = -1
    elif wrong < 0:
        wrong = state.now
    return state._replace(now=state.now + 1, beat=True, look=True, paused=max(0, state.paused - 1),
                          dead_since=dead, wrong_since=wrong)


def steps_of(world, rules):
    def steps(state):
        if state.now >= world.ticks:
            return
        turning = state.alive and state.paused == 0
        if turning and state.beat:
            yield "A beats", beat(rules, state)
        if turning and state.owed and not state.beat:
            yield "A claims", claim(state)
        if state.look:
            yield "B looks", look(rules, state)
        if not state.look and (not turning or (not state.beat and not state.owed)):
            yield "a beat later", tick(state)
        if state.old != (state.lease, state.claim):
            yield "the replica follows", state._replace(old=(state.lease, state.claim))
        if state.alive and state.now > 0:
            yield "A dies", state._replace(alive=False, dead_since=state.now)
            if state.pauses and state.paused == 0:
                yield "A stands still", state._replace(paused=LEASE + 2, pauses=state.pauses - 1)
        if state.failovers:
            yield "fail-over", state._replace(lease=state.old[0], claim=state.old[1], moved=state.now,
                                              failovers=state.failovers - 1)
    return steps


def judge_of(world, rules):
    def judge(state):
        grace = LEASE if state.moved >= 0 else 0
        if not state.alive and state.view and state.now > state.dead_since + LEASE + 1 + grace and not state.look:
            return f"stays: A died at {state.dead_since}, it is {state.now}"
        if world.pauses == 0 and state.flickered:
            return "flickers: A lives, and B's view lost it"
        if state.wrong_since >= 0 and state.now > state.wrong_since + 1:
            return f"dropped: A lives, and is not seen since {state.wrong_since}"
        return None
    return judge

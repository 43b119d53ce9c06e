# SPDX-License-Identifier: MIT
"""Ways between nodes (docs/store.md, "Ways between nodes"; store/crowd.c): a node pushes to the nodes that its view of
the roster names, and its view may lag behind a receiver that was told already. A pushes; B claims its place in the roster, is told when the
server has that, and may leave and come back. Each node has a connection for commands and one on which it hears, and the server
takes what the two say in any order.

What must hold: B hears whatever was pushed while it was told that it is there; nothing twice, nothing out of order, and
nothing repeated to it from before it came."""

from typing import NamedTuple

NOBODY = -1


class Rules(NamedTuple):
    keeps: bool = True   # what was pushed is kept, and repeated to nodes that are learned of late
    proves: bool = True  # it is kept until a message of the node's own came back that went out after it
    behind: bool = True  # such a message says nothing of what was pushed after it
    sure: bool = True    # nor does it while the view has to be read again
    waits: bool = True   # what is pushed before there is a view goes when there is one
    notes: bool = True   # it is noted which nodes something went to already
    ages: bool = True    # a repeat says how old it is; a node that came later drops it


NEW = Rules()


class World(NamedTuple):
    pushes: int = 2
    doubts: int = 0  # times that A has to read its view again
    visits: int = 1  # of B
    whole: bool = True  # A has its view at the beginning


class State(NamedTuple):
    # The server and what is under way: from A and B, and to A's two connections and B.
    version: int = 0
    there: bool = False
    from_a: tuple = ()
    from_b: tuple = ()
    heard_by_a: tuple = ()
    answers: tuple = ()
    to_b: tuple = ()
    # A
    view: int = 0        # its version; NOBODY: there is none
    named: bool = False  # B is in it
    doubted: bool = False
    heard: int = 0       # the last version of which a note came while the view was to be read
    pushed: int = 0
    kept: tuple = ()     # (number, went to B already)
    proving: bool = False
    doubts: int = 0
    # B
    visits: int = 0
    here: bool = False
    since: int = 0       # what had been pushed when it came
    told: bool = False
    owed: tuple = ()
    last: int = 0
    wrong: str = ""


def begin(world):
    if world.whole:
        return State()
    return State(view=NOBODY, doubted=True, from_a=(("read",),))


def send(state, number, repeated):
    return state._replace(from_a=state.from_a + (("push", number, repeated),))


def repeat(state, rules):
    """The view names B: what it did not get yet goes now."""
    if not (state.named and rules.keeps):
        return state
    kept = ()
    for number, went in state.kept:
        if not went:
            state = send(state, number, True)
        kept += ((number, went or rules.notes),)
    return state._replace(kept=kept)


def read_again(state):
    return state._replace(doubted=True, from_a=state.from_a + (("read",),))


def take_note(state, rules, version, there):
    if state.doubted:
        return state._replace(heard=version)
    if version <= state.view:
        return state
    if version > state.view + 1:
        return read_again(state._replace(heard=version))
    return repeat(state._replace(view=version, named=there), rules)


def take_answer(state, rules, version, there):
    state = repeat(state._replace(view=version, named=there, doubted=False), rules)
    return read_again(state) if state.heard > version else state


def take_proof(state, rules, number):
    state = state._replace(proving=False)
    if state.doubted and rules.sure:
        return state
    return state._replace(kept=tuple(one for one in state.kept if one[0] > number and rules.behind))


def push(state, rules):
    number = state.pushed + 1
    known = state.view != NOBODY
    owed = state.owed + ((number,) if state.told else ())
    state = state._replace(pushed=number, owed=owed)
    if known and state.named:
        state = send(state, number, False)
    if known or rules.waits:
        state = state._replace(kept=state.kept + ((number, known and state.named),))
    return state


def serve_a(state):
    what, *words = state.from_a[0]
    state = state._replace(from_a=state.from_a[1:])
    if what == "push":
        return state._replace(to_b=state.to_b + (tuple(words),))
    if what == "proof":
        return state._replace(heard_by_a=state.heard_by_a + (("proof", words[0]),))
    return state._replace(answers=state.answers + ((state.version, state.there),))


def serve_b(state):
    there = state.from_b[0]
    version = state.version + 1
    return state._replace(from_b=state.from_b[1:], version=version, there=there,
                          heard_by_a=state.heard_by_a + (("note", version, there),))


def hear_b(state, rules):
    number, repeated = state.to_b[0]
    state = state._replace(to_b=state.to_b[1:])
    if not state.here or (repeated and rules.ages and number <= state.since):
        return state
    if repeated and number <= state.since:
        return state._replace(wrong="old")
    if number <= state.last:
        return state._replace(wrong="doubled" if number == state.last else "out of order")
    return state._replace(last=number, owed=tuple(one for one in state.owed if one != number))


def steps_of(world, rules):
    def steps(state):
        if state.pushed < world.pushes:
            yield "A pushes", push(state, rules)
        if state.kept and not state.proving:
            yield "A asks for a proof", state._replace(proving=True, from_a=state.from_a + (("proof", state.pushed),))
        if state.kept and not rules.proves:
            yield "A forgets", state._replace(kept=state.kept[1:])
        if state.doubts < world.doubts and not state.doubted:
            yield "A doubts its view", read_again(state._replace(doubts=state.doubts + 1))
        if state.from_a:
            yield f"the server takes {state.from_a[0]} of A", serve_a(state)
        if state.from_b:
            yield f"the server takes {'a claim' if state.from_b[0] else 'a release'} of B", serve_b(state)
        if state.heard_by_a:
            what, *words = state.heard_by_a[0]
            rest = state._replace(heard_by_a=state.heard_by_a[1:])
            yield f"A hears {state.heard_by_a[0]}", (take_note if what == "note" else take_proof)(rest, rules, *words)
        if state.answers:
            yield f"A reads {state.answers[0]}", take_answer(state._replace(answers=state.answers[1:]), rules, *state.answers[0])
        if state.to_b:
            yield f"B hears {state.to_b[0]}", hear_b(state, rules)
        if not state.here and state.visits < world.visits:
            yield "B comes", state._replace(here=True, visits=state.visits + 1, since=state.pushed, from_b=state.from_b + (True,))
        if state.here and not state.told and state.there and not state.from_b:
            yield "B is told", state._replace(told=True)
        if state.told and state.visits < world.visits:
            yield "B leaves", state._replace(here=False, told=False, owed=(), from_b=state.from_b + (False,))
    return steps


def judge_of(world, rules):
    del world, rules

    def judge(state):
        if state.wrong:
            return state.wrong
        under_way = state.from_a or state.from_b or state.heard_by_a or state.answers or state.to_b
        return "lost" if state.owed and not under_way else None
    return judge

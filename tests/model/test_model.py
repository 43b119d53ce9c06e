# SPDX-License-Identifier: MIT
"""The protocols of the store, searched for every order of events in small worlds (docs/store.md).

Each fault that was once seen on the running product is found with the rule that cures it left out, so the model knows
of it; and nothing is found with all rules in place. MUSTER_MODEL=large searches larger worlds, for minutes."""

import os

import pytest

import model_history
import model_lease
import model_move
import model_parts
import model_stream
import model_ways
from model_search import Found, search

History = model_history.World
Stream = model_stream.World
Lease = model_lease.World
Ways = model_ways.World
Move = model_move.World
Parts = model_parts.World


def look(model, world, rules):
    return search(model.begin(world), model.steps_of(world, rules), model.judge_of(world, rules))


def without(model, **rules):
    return model.NEW._replace(**rules)


# What was seen, in the smallest world that shows it: (model, world, rules that have it, what is found).
FAULTS = {
    "1: a cut link replays what was said before the client came": (
        model_history, History(says=(1, 0), cuts=1, failovers=0, late=(False, True)),
        without(model_history, timelines=False, learned=False, look_back=1), "replayed"),
    "2: the sink stays at the old master": (
        model_stream, Stream(cuts=0, late=(False, True)), without(model_stream, timelines=False), "skipped"),
    "2: the tail stays at the old master": (
        model_stream, Stream(cuts=0, tail=True, trims=False), without(model_stream, timelines=False), "skipped"),
    "3: a fork longer than what is looked at again": (
        model_history, History(says=(1, 1), cuts=0, late=(False, True)),
        without(model_history, timelines=False), "skipped"),
    "4: the answer is lost, and the replica promoted": (
        model_stream, Stream(calls=(1, 0)), without(model_stream, writers=False), "doubled"),
    "5: an empty server whose clock is behind": (
        model_stream, Stream(calls=(2, 0), cuts=0, failovers=0, restarts=1, set_back=5, keeps=False),
        without(model_stream, timelines=False, floors=False), "skipped"),
    "5: an older file and a clock that is behind": (
        model_stream, Stream(calls=(3, 0), cuts=0, failovers=0, restarts=1, set_back=5, file_only=True, keeps=False),
        without(model_stream, timelines=False, floors=False), "skipped"),
    "a server that lost its memory has old messages told as new": (
        model_history, History(says=(1, 0), cuts=0, failovers=0, restarts=1, late=(False, True)),
        without(model_history, learned=False), "replayed"),
    "a listener hears what was stored before it came": (
        model_stream, Stream(calls=(1, 1), cuts=0, tail=True, trims=False),
        without(model_stream, learned=False), "replayed"),
    "a later call hides an earlier one that a server lacks": (
        model_stream, Stream(calls=(2, 0), cuts=0), without(model_stream, ordered=False), "lost"),
    "a node's numbers go back": (
        model_stream, Stream(calls=(2, 0), cuts=0, clocks=(10, 5)), without(model_stream, floors=False),
        "numbered back"),
    "a pause longer than the lease, and claims that are not made again": (
        model_lease, Lease(ticks=9), without(model_lease, incarnation=False), "dropped"),
    "a death that is noticed, and members that stay": (
        model_lease, Lease(), without(model_lease, reads_deaths=False), "stays"),
    "a claim that was lost with a fail-over": (
        model_lease, Lease(failovers=1, pauses=0), without(model_lease, claims_again=False, renames=False), "dropped"),
    "a release that was lost with a fail-over": (
        model_lease, Lease(failovers=1, pauses=0, leaves=1, deaths=False), without(model_lease, renames=False), "stays"),
    "members that a server lost with its data": (
        model_lease, Lease(losses=1, pauses=0), without(model_lease, grace=False), "flickers"),
    "a server that stood still, and leases that ran out meanwhile": (
        model_lease, Lease(standstills=1, pauses=0), without(model_lease, bridges=False), "flickers"),
    "a claim that is heard of before its lease is": (
        model_lease, Lease(pauses=0), without(model_lease, news=False), "dropped"),
    "another server's list that has the same version": (
        model_lease, Lease(failovers=1, pauses=0), without(model_lease, lists=False, renames=False), "flickers"),
    "a server that stands still while its loss is bridged": (
        model_lease, Lease(standstills=1, losses=1, pauses=0), without(model_lease, waits=False), "flickers"),
    "a push while the view lags behind a receiver that was told": (
        model_ways, Ways(), without(model_ways, keeps=False), "lost"),
    "a push that is kept for some time, and a view that lags for longer": (
        model_ways, Ways(), without(model_ways, proves=False), "lost"),
    "a proof that went out before the push": (
        model_ways, Ways(), without(model_ways, behind=False), "lost"),
    "a proof that comes back while the view has to be read again": (
        model_ways, Ways(doubts=1), without(model_ways, sure=False), "lost"),
    "a push before there is a view": (
        model_ways, Ways(whole=False), without(model_ways, waits=False), "lost"),
    "a repeat to a receiver that left and came back": (
        model_ways, Ways(pushes=1, visits=2), without(model_ways, notes=False), "doubled"),
    "a repeat of what was pushed before its receiver came": (
        model_ways, Ways(whole=False), without(model_ways, ages=False), "old"),
    "a partition that moves while a node with the old list is there": (
        model_move, Move(), without(model_move, roll=False, everyone=False), "lost"),
    "a node with the old list that stood still": (
        model_move, Move(pauses=1), without(model_move, everyone=False), "lost"),
    "a command that does not look at the marker": (
        model_move, Move(), without(model_move, fence=False), "lost"),
    "a partition that is copied while it is written": (
        model_move, Move(), without(model_move, hold=False), "lost"),
    "two movers at a time": (
        model_move, Move(slow=1), without(model_move, token=False), "lost"),
    "a mover that is too late": (
        model_move, Move(slow=1), without(model_move, commits=False), "lost"),
    "an old server that forgets that a partition has left": (
        model_move, Move(losses=1), without(model_move, here=False), "lost"),
    "the same, and a mover that begins once more": (
        model_move, Move(slow=1, losses=1), without(model_move, spares=False), "lost"),
    "the same, and a node that does not ask the new server": (
        model_move, Move(slow=1, losses=1), without(model_move, asks_both=False), "lost"),
    "the same, and a mover that goes on": (
        model_move, Move(slow=1, losses=1), without(model_move, lets_go=False), "lost"),
    "entries for a server that is known to be away": (
        model_parts, Parts(deaths=1), without(model_parts, looks=False), "torn"),
    "a client that sends all again, of which some was stored": (
        model_parts, Parts(deaths=1), without(model_parts, names=False), "doubled"),
    "what was refused is stored when its server is back": (
        model_parts, Parts(deaths=1), without(model_parts, empties=False), "doubled"),
    "two servers whose clocks are alike": (
        model_parts, Parts(deaths=1), without(model_parts, rests=False), "twice the same number"),
    "a room that goes to a server whose clock is behind": (
        model_parts, Parts(messages=2, old=1, wide=False, clocks=(9, 5)), without(model_parts, tells=False), "numbered back"),
    "the same, with its last entries on their way": (
        model_parts, Parts(messages=2, old=1, wide=False, clocks=(9, 5)), without(model_parts, since=False), "numbered back"),
    "a room that comes back from a server whose clock is ahead": (
        model_parts, Parts(messages=2, old=1, clocks=(5, 19)), without(model_parts, tells=False), "numbered back"),
    "an old reader beside nodes that write to all parts": (
        model_parts, Parts(messages=1, old=1), without(model_parts, roll=False), "unheard"),
    "a reader that forgets parts that nobody writes to any more": (
        model_parts, Parts(messages=1, old=1), without(model_parts, all=False), "skipped"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_is_found_under_the_old_rules(name):
    model, world, rules, fault = FAULTS[name]
    with pytest.raises(Found) as found:
        look(model, world, rules)
    assert found.value.fault.startswith(fault), found.value


@pytest.mark.parametrize("name", FAULTS)
def test_is_not_found_under_the_new_ones(name):
    model, world, _, _ = FAULTS[name]
    assert look(model, world, model.NEW) > 50


def test_all_old_rules_together():
    for model, world in ((model_stream, Stream()), (model_history, History())):
        with pytest.raises(Found):
            look(model, world, model.OLD)


# Worlds in which more can happen at a time.
WORLDS = {
    "stream, two fail-overs": (model_stream, Stream(calls=(2, 0), failovers=2)),
    "stream, lost answers and a fail-over": (model_stream, Stream(clocks=(10, 7))),
    "stream, nothing is kept": (model_stream, Stream(calls=(2, 1), cuts=0, keeps=False)),
    "stream, restarts and lost answers": (model_stream, Stream(calls=(2, 0), failovers=0, restarts=1, set_back=5)),
    "history, a fail-over and a cut": (model_history, History(says=(1, 1))),
    "history, nothing is kept": (model_history, History(says=(1, 1), keeps=False)),
    "history, restarts": (model_history, History(says=(1, 1), failovers=0, restarts=1)),
    "lease, a fail-over and a pause": (model_lease, Lease(ticks=7, failovers=1)),
    "lease, a fail-over and a lost beat": (model_lease, Lease(ticks=7, failovers=1, pauses=0, lost=1)),
    "lease, a server that stands still and loses its data": (model_lease, Lease(ticks=10, standstills=1, losses=1, pauses=0)),
    "ways, a receiver that comes back": (model_ways, Ways(visits=2)),
    "ways, a view that is read again": (model_ways, Ways(doubts=1)),
    "ways, three pushes": (model_ways, Ways(pushes=3)),
    "parts, a server that dies with a call, and a lost answer": (model_parts, Parts(messages=2, deaths=1, cuts=1)),
    "parts, a server that refuses, and an old reader": (model_parts, Parts(messages=2, fulls=1, old=1, clocks=(9, 5))),
    "a move, three calls": (model_move, Move(says=(2, 1), slow=1)),
}

LARGE = {
    "stream": (model_stream, Stream(calls=(1, 1), failovers=2, clocks=(10, 7))),
    "stream, tail": (model_stream, Stream(calls=(1, 1), tail=True, trims=False)),
    "history": (model_history, History(says=(2, 1))),
    "history, two fail-overs": (model_history, History(says=(1, 1), failovers=2)),
    "lease": (model_lease, Lease(ticks=9, failovers=1)),
    "lease, a member that goes, and a lost beat": (
        model_lease, Lease(ticks=7, failovers=1, pauses=0, lost=1, leaves=1, deaths=False)),
    "lease, a member that goes": (model_lease, Lease(ticks=8, failovers=1, pauses=0, leaves=1)),
    "ways": (model_ways, Ways(pushes=3, visits=2, whole=False)),
    "ways, views that are read again": (model_ways, Ways(doubts=2, visits=2)),
    "parts": (model_parts, Parts(messages=2, deaths=2, fulls=1, cuts=1, old=1, clocks=(5, 9))),
    "a move, two movers and a node that stands still": (model_move, Move(pauses=1, slow=1)),
    "a move, three movers and a server that goes back": (model_move, Move(slow=2, losses=1)),
}


@pytest.mark.parametrize("name", WORLDS)
def test_nothing_is_found(name):
    assert look(*WORLDS[name], WORLDS[name][0].NEW) > 1000


@pytest.mark.skipif(os.environ.get("MUSTER_MODEL") != "large", reason="MUSTER_MODEL=large searches for minutes")
@pytest.mark.parametrize("name", LARGE)
def test_nothing_is_found_in_a_large_world(name):
    assert look(*LARGE[name], LARGE[name][0].NEW) > 10000

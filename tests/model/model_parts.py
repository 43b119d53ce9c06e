# SPDX-License-Identifier: MIT
"""The log stream lies in several parts, each on a server of its own (docs/store.md, "Parts of the stream"; store/stream.c,
stream_sender.c, stream_part.c).

A client appends messages, each with an entry for two rooms; room 0 lies in part 0, room 1 in part 1, or in part 0 while
somebody on the roll reads no other. Servers go away, refuse, and links fall with an answer on its way. What was not stored is
named, and the client sends that again. A reader looks at the parts; an old one, at part 0, comes and goes. What must hold: an
entry is stored once, where the client was told so; numbers of a room grow (of
what is sent when the one before is answered) and none is given twice; nobody misses anything."""

from typing import NamedTuple

from model_stream import put

BOTH = (0, 1)


class Rules(NamedTuple):
    looks: bool = True    # all parts that it touches are looked at before anything is stored
    names: bool = True    # the answer names what is not stored, and the client sends that alone
    empties: bool = True  # what the client was told is not stored is not stored later
    rests: bool = True    # part p gives only numbers with the rest p
    tells: bool = True    # where a room goes to another part, that is told the greatest number seen
    since: bool = True    # also of what was on its way before the room went
    roll: bool = True     # all goes to part 0 while somebody reads no other, who is let in then
    all: bool = True      # a reader looks at all parts, also at those that nobody writes to


NEW = Rules()


class World(NamedTuple):
    messages: int = 1
    deaths: int = 0      # a server goes away
    fulls: int = 0       # one refuses
    cuts: int = 0        # an answer is lost
    resends: int = 1
    old: int = 0         # times that an old reader comes
    wide: bool = True    # at the start
    clocks: tuple = (5, 5)


class Entry(NamedTuple):
    message: int
    room: int
    part: int
    seq: int
    attempt: int


class Share(NamedTuple):
    """Of one part: an attempt of a message, for these rooms."""
    message: int
    rooms: tuple
    attempt: int
    heeded: bool          # an old reader was there when it began
    narrow: bool          # part 0 was all then
    sent: bool = False
    outcome: str = ""     # what the server answers: stored, refused
    dead: bool = False    # its client was told already


class Message(NamedTuple):
    rooms: tuple = BOTH   # to be sent
    attempt: int = 0
    busy: bool = False
    sound: bool = True    # all servers that it touches were there when it began
    told: tuple = ("", "")  # for each room: stored, refused, unknown


class State(NamedTuple):
    messages: tuple
    entries: tuple = ()
    up: tuple = (True, True)
    full: tuple = (False, False)
    wide: bool = True
    queue: tuple = ((), ())
    seen: tuple = (0, 0)  # the greatest number that each part answered
    narrow: int = 0       # that part 0 answered while it was all
    old: str = "out"
    missed: bool = False  # by an old reader
    read: frozenset = frozenset()
    deaths: int = 0
    fulls: int = 0
    cuts: int = 0
    visits: int = 0


def begin(world):
    return State(messages=(Message(),) * world.messages, wide=world.wide)


def part_of(state, room):
    return room if state.wide else 0


# ------------------------------------------------------------------------------------------- the node

def say(rules, state, number):
    message = state.messages[number]
    parts = sorted({part_of(state, room) for room in message.rooms})
    able = all(state.up[part] for part in parts)
    if rules.looks and not able:
        told = tuple("refused" if room in message.rooms else message.told[room] for room in BOTH)
        return state._replace(messages=put(state.messages, number, message._replace(told=told, rooms=(), attempt=message.attempt + 1)))
    queue = state.queue
    for part in parts:
        rooms = tuple(room for room in message.rooms if part_of(state, room) == part)
        queue = put(queue, part, queue[part] + (Share(number, rooms, message.attempt + 1, state.old == "in", not state.wide),))
    told = tuple("" if room in message.rooms else message.told[room] for room in BOTH)
    begun = message._replace(busy=True, sound=able, rooms=(), attempt=message.attempt + 1, told=told)
    return state._replace(messages=put(state.messages, number, begun), queue=queue)


def conclude(state, share, outcome):
    message = state.messages[share.message]
    told = tuple(outcome if room in share.rooms else message.told[room] for room in BOTH)
    return state._replace(messages=put(state.messages, share.message, message._replace(told=told, busy="" in told)))


def number_of(world, rules, state, part, narrow):
    """What the server gives next."""
    last = max((entry.seq for entry in state.entries if entry.part == part), default=0)
    narrow = narrow if rules.since else not state.wide
    floor = (max(state.seen) if narrow else max(state.seen[part], state.narrow)) if rules.tells else state.seen[part]
    seq = max(world.clocks[part], last + 1, floor + 1)
    return seq + (part - seq) % 2 if rules.rests else seq


def take(world, rules, state, part):
    """The server takes the call, or knows it."""
    share = state.queue[part][0]
    known = [entry for entry in state.entries if entry.attempt == share.attempt and entry.message == share.message and entry.part == part]
    missed = state.missed
    if state.full[part] and not known:
        outcome = "refused"
    else:
        outcome = "stored"
        for room in share.rooms if not known else ():
            entry = Entry(share.message, room, part, number_of(world, rules, state, part, share.narrow), share.attempt)
            state = state._replace(entries=state.entries + (entry,))
            missed = missed or (share.heeded and part != 0)
    return state._replace(missed=missed, queue=put(state.queue, part, (share._replace(sent=True, outcome=outcome),) + state.queue[part][1:]))


def answer(rules, state, part):
    share = state.queue[part][0]
    narrow = share.narrow if rules.since else not state.wide
    last = max((entry.seq for entry in state.entries if entry.part == part), default=0)
    seen = put(state.seen, part, max(state.seen[part], last))
    state = state._replace(queue=put(state.queue, part, state.queue[part][1:]), seen=seen,
                           narrow=max(state.narrow, last) if narrow else state.narrow)
    return state if share.dead else conclude(state, share, share.outcome)


def give_up(rules, state, part):
    """The client has waited for too long: of a call that may have arrived nothing is known."""
    share = state.queue[part][0]
    state = conclude(state, share, "unknown" if share.sent else "refused")
    left = () if rules.empties else (share._replace(dead=True),)
    return state._replace(queue=put(state.queue, part, left + state.queue[part][1:]))


def part_steps(world, rules, state, part):
    name = "XY"[part]
    share = state.queue[part][0] if state.queue[part] else None
    if share and state.up[part]:
        if share.outcome:
            yield f"{name} answers", answer(rules, state, part)
            if state.cuts < world.cuts:
                again = share._replace(outcome="")
                yield f"{name}'s answer is lost", state._replace(
                    queue=put(state.queue, part, (again,) + state.queue[part][1:]), cuts=state.cuts + 1)
        else:
            yield f"{name} takes a call", take(world, rules, state, part)
    if share and not state.up[part] and not share.dead:
        yield f"patience for {name} ends", give_up(rules, state, part)
    if state.up[part] and state.deaths < world.deaths:
        queue = put(state.queue, part, tuple(one._replace(outcome="") for one in state.queue[part]))
        yield f"{name} goes away", state._replace(up=put(state.up, part, False), queue=queue, deaths=state.deaths + 1)
    if not state.up[part]:
        yield f"{name} is back", state._replace(up=put(state.up, part, True))
    if not state.full[part] and state.fulls < world.fulls:
        yield f"{name} is full", state._replace(full=put(state.full, part, True), fulls=state.fulls + 1)
    if state.full[part]:
        yield f"{name} has room", state._replace(full=put(state.full, part, False))


# ------------------------------------------------------------------------------- clients and readers

def again(rules, message):
    """What a client sends once more: what is named; without names all of it, where something is missing."""
    named = tuple(room for room in BOTH if message.told[room] == "refused")
    return named if rules.names or not named else BOTH


def looked_at(rules, state):
    return BOTH if rules.all or state.wide else (0,)


def unread(rules, state):
    return frozenset(entry for entry in state.entries if entry.part in looked_at(rules, state)) - state.read


def steps_of(world, rules):
    def steps(state):
        for number, message in enumerate(state.messages):
            first = number == 0 or state.messages[number - 1].attempt > 0
            if message.rooms and first and not any(one.busy for one in state.messages):
                yield f"message {number} is sent", say(rules, state, number)
            elif not message.busy and 0 < message.attempt <= world.resends and again(rules, message):
                once_more = message._replace(rooms=again(rules, message))
                yield f"message {number} is to be sent again", state._replace(messages=put(state.messages, number, once_more))
        for part in BOTH:
            yield from part_steps(world, rules, state, part)
        if unread(rules, state):
            yield "the reader reads", state._replace(read=state.read | unread(rules, state))
        if state.old == "out" and state.visits < world.old:
            yield "an old reader asks", state._replace(old="asks", visits=state.visits + 1)
        if state.old == "asks" and (not state.wide or not rules.roll):
            yield "it is let in", state._replace(old="in")
        if state.old != "out":
            yield "it goes", state._replace(old="out")
        if rules.roll and state.wide != (state.old == "out") and (state.old != "out" or world.wide or world.old):
            yield "the node beats", state._replace(wide=state.old == "out")
    return steps


def judge_of(world, rules):
    del world

    def judge(state):
        stored = [(entry.message, entry.room) for entry in state.entries]
        if len(set(stored)) < len(stored):
            return f"doubled: {stored}"
        numbers = [entry.seq for entry in state.entries]
        if len(set(numbers)) < len(numbers):
            return f"twice the same number: {state.entries}"
        for room in BOTH:
            mine = [entry.seq for entry in state.entries if entry.room == room]
            if mine != sorted(mine):
                return f"numbered back: {mine}"
        for number, message in enumerate(state.messages):
            for room in BOTH:
                if message.told[room] == "stored" and (number, room) not in stored:
                    return f"lost: {number} in room {room}"
            if not message.sound and not message.busy and {"stored", "refused"} <= set(message.told):
                return f"torn: {number} was begun without a server, and stored in part"
        if state.missed:
            return "unheard: an old reader missed what was said when it was there"
        calm = not any(state.queue) and not unread(rules, state)
        if calm and frozenset(state.entries) - state.read:
            return "skipped: the reader is at the end, and has not read all"
        return None
    return judge

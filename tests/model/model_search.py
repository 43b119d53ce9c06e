# SPDX-License-Identifier: MIT
"""Explicit-state search: every state that a small world can come to, breadth first, so that what is found is a
shortest way to it."""

from collections import deque


class Found(Exception):
    """A state that breaks a promise, with the steps that lead there."""

    def __init__(self, fault, steps):
        super().__init__(f"{fault}\n  " + "\n  ".join(steps))
        self.fault = fault
        self.steps = steps


def search(start, steps, judge, most=2_000_000):
    """Visits all states reachable from `start`. `steps(state)` yields (name, next state); `judge(state)` says what
    is wrong with a state, or None. Raises Found for the first fault. Returns how many states there are."""
    came_from = {start: None}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        fault = judge(state)
        if fault:
            raise Found(fault, path(came_from, state))
        for name, after in steps(state):
            if after not in came_from:
                came_from[after] = (state, name)
                queue.append(after)
        assert len(came_from) <= most, "the world is too large to be searched"
    return len(came_from)


def path(came_from, state):
    steps = []
    while came_from[state]:
        state, name = came_from[state]
        steps.append(name)
    return steps[::-1]

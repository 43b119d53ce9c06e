# SPDX-License-Identifier: MIT
"""The cases of the bench, in the order in which they run. A case is one file here: a docstring that
says what it measures, and run(bench), which returns rows for the table."""
from . import (capacity, chat, deflate, devices, fanout, idle, idle_redis, intake, join, login, logs, neighbours, push,
               pushes, questions, relay, silent, stream, tracker)

CASES = {
    "idle": idle,
    "fanout": fanout,
    "deflate": deflate,
    "pushes": pushes,
    "silent": silent,
    "stream": stream,
    "devices": devices,
    "logs": logs,
    "intake": intake,
    "questions": questions,
    "relay": relay,
    "tracker": tracker,
    "chat": chat,
    "login": login,
    "idle-redis": idle_redis,
    "join": join,
    "push": push,
    "neighbours": neighbours,
    "capacity": capacity,
}

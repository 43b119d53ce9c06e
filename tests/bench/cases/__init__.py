# SPDX-License-Identifier: MIT
"""The cases of the bench, in the order in which they run. A case is one file here: a docstring that
says what it measures, and run(bench), which returns rows for the table."""
from . import (capacity, chat, cluster, costs, deflate, devices, fanout, idle, idle_redis, intake, join, login, logs, neighbours, peers,
               push, pushes, questions, relay, replicas, silent, stream, tracker, turns)

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
    "replicas": replicas,
    "tracker": tracker,
    "chat": chat,
    "login": login,
    "turns": turns,
    "idle-redis": idle_redis,
    "join": join,
    "push": push,
    "cluster": cluster,
    "neighbours": neighbours,
    "costs": costs,
    "capacity": capacity,
    "peers": peers,
}

ON_REQUEST = ["peers"]  # they bring programs from elsewhere

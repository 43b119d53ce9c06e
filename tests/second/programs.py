# SPDX-License-Identifier: MIT
"""The programs of this folder, which lie beside the tested binary, and cases for them."""

import pathlib
import struct
import subprocess

from lib.process import BINARY, clean_env

PROGRAMS = pathlib.Path(BINARY).parent / "tests" / "second"


def program(name):
    return str(PROGRAMS / f"second_{name}")


def answers(command, cases, deadline=120):
    """What a program says to these cases, as lines."""
    data = b"".join(struct.pack(">I", len(case)) + case for case in cases)
    done = subprocess.run(command, input=data, capture_output=True, timeout=deadline, env=clean_env(), check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return done.stdout.decode().splitlines()

# SPDX-License-Identifier: MIT
"""What is expensive to make, and made once for all processes that run tests side by side."""

import atexit
import fcntl
import os
import pathlib
import shutil
import subprocess
import tempfile

NAME = "MUSTER_SHARED"  # variable: the folder, as conftest.py made it for its workers


def share():
    """Makes the folder of this run; the caller takes it away with unshare()."""
    folder = tempfile.mkdtemp(prefix="muster-shared-")
    os.chmod(folder, 0o755)  # PostgreSQL runs as another user, in a folder of its own below
    os.environ[NAME] = folder


def unshare():
    shutil.rmtree(os.environ.pop(NAME, ""), ignore_errors=True)


def made_once(name, make):
    """The folder `name`, filled by `make(folder)`, which the first to ask calls while all others wait."""
    if NAME not in os.environ:  # no test: a program that uses tests/lib
        share()
        atexit.register(unshare)
    folder = pathlib.Path(os.environ[NAME]) / name
    with open(folder.with_suffix(".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            making = pathlib.Path(tempfile.mkdtemp(dir=folder.parent))
            make(making)
            making.rename(folder)
    return folder


def npm_packages(folder):
    """What the folder's package-lock.json names is below its node_modules. npm writes its own list there last."""
    def install(_):
        if not (folder / "node_modules" / ".package-lock.json").exists():
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, check=True, capture_output=True, timeout=300)

    made_once(f"npm-{folder.name}", install)

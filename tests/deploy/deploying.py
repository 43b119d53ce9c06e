# SPDX-License-Identifier: MIT
"""What the tests of this folder share, besides fixtures."""

import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "helm/make"))


def run(*command, check=True, **options):
    """Runs to the end; what it printed is in the error of one that failed."""
    done = subprocess.run([str(word) for word in command], stdin=options.pop("stdin", subprocess.DEVNULL),
                          capture_output=True, text=True, check=False, **options)
    said = done.stdout[-4000:] + done.stderr[-4000:]
    assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{said}"
    return done


def hold_to_settings(used, variables):
    """Every variable in `used` is a setting of the program."""
    assert not used - variables, f"the program knows no {sorted(used - variables)}"


def engine_missing():
    """Why there is no container engine to try things on, or None."""
    if shutil.which("docker") is None:
        return "no docker"
    if run("docker", "info", check=False).returncode != 0:
        return "no Docker engine answers"
    if run("docker", "image", "inspect", "debian:trixie-slim", check=False).returncode != 0 and \
            run("docker", "pull", "-q", "debian:trixie-slim", check=False).returncode != 0:
        return "no image debian:trixie-slim, and none can be pulled"
    return None

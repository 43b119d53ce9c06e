# SPDX-License-Identifier: MIT
"""The last release: its commit stands in the file last_release beside this one. Its binary is built once and kept."""

import os
import pathlib
import shutil
import subprocess
import tempfile

from lib.process import ROOT

KEPT = ROOT / "build-release"  # a folder for each commit


class NoRelease(Exception):
    """Its source cannot be had here."""


def commit():
    lines = (pathlib.Path(__file__).parent / "last_release").read_text().splitlines()
    [name] = [line for line in lines if line and not line.startswith("#")]
    return name


def run(*words, **options):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(map(str, words))}:\n{done.stdout[-3000:]}"
    return done.stdout


def source(name, folder):
    """Unpacks the tree of that commit."""
    if subprocess.run(["git", "-C", ROOT, "cat-file", "-e", name + "^{commit}"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        raise NoRelease(f"no commit {name[:12]} of the last release here: a whole git clone has it")
    with subprocess.Popen(["git", "-C", ROOT, "archive", name], stdout=subprocess.PIPE) as archive:
        subprocess.run(["tar", "-x", "-C", folder], stdin=archive.stdout, check=True)
    assert archive.returncode == 0


def build(name):
    """The binary of that commit; built when it is asked for the first time."""
    binary = KEPT / name / "muster"
    if binary.exists():
        return binary
    with tempfile.TemporaryDirectory(prefix="muster-release-") as folder:
        source(name, folder)
        run("cmake", "-S", folder, "-B", f"{folder}/build", "-G", "Ninja",
            env={**os.environ, "PATH": "/usr/lib/ccache:" + os.environ["PATH"]})
        run("cmake", "--build", f"{folder}/build", "--target", "muster")
        binary.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(f"{folder}/build/muster", f"{binary}.new")
        os.replace(f"{binary}.new", binary)
    return binary

# SPDX-License-Identifier: MIT
"""The npm package `ws` as the client: each script of node/ plays its part against three nodes."""

import pathlib
import shutil
import subprocess

import pytest

from lib.shared import npm_packages

SCRIPTS = pathlib.Path(__file__).parent / "node"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@pytest.fixture(scope="module")
def packages():
    npm_packages(SCRIPTS)


@pytest.mark.parametrize("script", ["seed_dialect", "plugin_dialect", "deflate"])
def test_script(packages, cluster, script):
    urls = [node.ws("") for node in cluster]
    result = subprocess.run(["node", f"{script}.js", *urls], cwd=SCRIPTS, timeout=60, capture_output=True, text=True,
                            check=False)
    assert result.returncode == 0, result.stdout + result.stderr

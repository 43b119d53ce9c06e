# SPDX-License-Identifier: MIT
"""Tools of these tests, each skipped with a visible line where it cannot be had."""

import shutil
import subprocess

import pytest

from deploying import HERE, ROOT, engine_missing, run

import manifests  # noqa: E402
from lib.process import BINARY, muster  # noqa: E402


@pytest.fixture(scope="session")
def helm():
    path = manifests.helm()
    if path is None:
        pytest.skip("no helm, and no Go to build it (tests/deploy/get_helm.sh)")
    return path


@pytest.fixture(scope="session")
def strict(tmp_path_factory):
    """A function that decodes manifests strictly into the types of Kubernetes."""
    if shutil.which("go") is None:
        pytest.skip("no Go: manifests are not decoded into the types of Kubernetes")
    program = tmp_path_factory.mktemp("kube") / "kube"
    built = run("go", "build", "-o", program, ".", cwd=HERE / "kube", check=False)
    if built.returncode != 0:
        pytest.skip(f"the Go modules of Kubernetes cannot be had: {built.stderr.strip().splitlines()[-1]}")

    def decode(text):
        done = subprocess.run([program], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return decode


@pytest.fixture(scope="session")
def settings_table():
    """The columns of each setting that the program has: flag, variable, default, help."""
    if not BINARY.exists():
        pytest.skip(f"{BINARY} is not there")
    return [row.strip("|").split("|") for row in muster("--help-markdown").stdout.splitlines()[2:]]


@pytest.fixture(scope="session")
def settings_rows(settings_table):
    """The variable's column of each."""
    return [row[1] for row in settings_table]


@pytest.fixture(scope="session")
def defaults(settings_table):
    """Variable to its default."""
    return {row[1].split("`")[1]: row[2].strip(" `") for row in settings_table}


@pytest.fixture(scope="session")
def variables(settings_rows):
    """Every MUSTER_ variable that the program knows."""
    known = {column.split("`")[1] for column in settings_rows}
    known |= {column.split("`")[1] + "_FILE" for column in settings_rows if "`..._FILE`" in column}
    assert "MUSTER_STORE" in known
    return known


@pytest.fixture(scope="session")
def secrets(settings_rows):
    """Those of them that are secrets."""
    return {column.split("`")[1] for column in settings_rows if "_FILE" in column}


@pytest.fixture(scope="session")
def verbs(settings_rows):
    text = muster("--help").stdout.split("verbs:\n", 1)[1].split("\n\n", 1)[0]
    return {line.split()[0] for line in text.splitlines()}


@pytest.fixture(scope="session")
def engine():
    reason = engine_missing()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def image(engine):
    """Muster's own image, built from this tree."""
    run("docker", "build", "--network", "host", "-t", "muster:test", "--build-arg", "VERSION=0.1.0",
        "--build-arg", "REVISION=test", ROOT, timeout=1800)
    return "muster:test"


@pytest.fixture(scope="session")
def standin(engine):
    """Redis, PostgreSQL and HAProxy from Debian, for images that cannot be pulled."""
    run("docker", "build", "--network", "host", "-t", "muster-standin:test", HERE / "standin", timeout=1800)
    return "muster-standin:test"

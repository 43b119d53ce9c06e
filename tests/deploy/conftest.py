"""Tools of these tests, each skipped with a visible line where it cannot be had."""

import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests/integration"))

import manifests  # noqa: E402  (this folder's)
from cluster import BINARY, muster  # noqa: E402


def run(*command, check=True, **options):
    """Runs to the end; what it printed is in the error of one that failed."""
    done = subprocess.run([str(word) for word in command], stdin=options.pop("stdin", subprocess.DEVNULL),
                          capture_output=True, text=True, check=False, **options)
    said = done.stdout[-4000:] + done.stderr[-4000:]
    assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{said}"
    return done


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


# Services that chart and compose file know and that a program may be without: theirs is skipped, visibly.
SERVICES = {"CHAT", "DISPATCH", "LOGS", "MINIGAME", "POSTGRES", "TRACKER", "WEBHOOK"}


def hold_to_settings(used, variables):
    """Every variable in `used` is a setting of the program."""
    missing = used - variables
    absent = {word for word in SERVICES if not any(name.startswith(f"MUSTER_{word}") for name in variables)}
    typed_wrong = {name for name in missing if name.split("_")[1] not in absent}
    assert not typed_wrong, f"the program knows no {sorted(typed_wrong)}"
    if missing:
        pytest.skip(f"the program has no {sorted(missing)} yet")


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

# SPDX-License-Identifier: MIT
"""The image: built, and run with each verb the way the chart and compose.yaml run it."""

import json
import re
import uuid

import pytest

from deploying import run
from lib.waiting import wait_until

HARDENED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]


class Box:
    """Containers on a network of their own, gone after the test."""

    def __init__(self, image):
        self.image = image
        self.network = f"muster-test-{uuid.uuid4().hex[:8]}"
        self.names = []
        run("docker", "network", "create", self.network)

    def start(self, name, image, *words, options=()):
        full = f"{self.network}-{name}"
        run("docker", "run", "-d", "--name", full, "--network", self.network, "--network-alias", name, *options, image, *words)
        self.names.append(full)
        return full

    def muster(self, name, verb, *options, env=()):
        return self.start(name, self.image, verb, options=[*HARDENED, *options, *variables(env)])

    def once(self, verb, *options, env=(), check=True):
        return run("docker", "run", "--rm", "--network", self.network, *HARDENED, *variables(env), *options, self.image, verb,
                   check=check)

    def close(self):
        for name in self.names:
            run("docker", "rm", "-f", "-v", name, check=False)
        run("docker", "network", "rm", self.network, check=False)


def variables(env):
    return [word for name, value in dict(env).items() for word in ("-e", f"{name}={value}")]


def inspect(name, what):
    return json.loads(run("docker", "inspect", name).stdout)[0][what]


def log_of(name):
    done = run("docker", "logs", name, check=False)
    return done.stdout + done.stderr


def inside(name, script):
    return run("docker", "exec", name, "bash", "-c", script, check=False)


def status_of(name, port, path):
    """The HTTP status that a server in the container gives it, or nothing."""
    words = f"GET {path} HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n"
    done = inside(name, f"exec 3<>/dev/tcp/127.0.0.1/{port} && printf '{words}' >&3 && read -r -t 5 _ status _ <&3 && echo $status")
    return done.stdout.strip()


@pytest.fixture
def box(image):
    box = Box(image)
    yield box
    box.close()


@pytest.fixture
def redis(box, standin):
    name = box.start("redis", standin, "redis-server", "--save", "", "--bind", "0.0.0.0", "--protected-mode", "no")
    wait_until(lambda: "PONG" in inside(name, "redis-cli ping").stdout, "Redis answers")
    return name


@pytest.fixture
def postgres(box, standin):
    name = box.start("postgres", standin, "bash", "/usr/local/bin/postgres.sh",
                     options=variables({"POSTGRES_USER": "muster", "POSTGRES_PASSWORD": "secret"}))
    wait_until(lambda: inside(name, "pg_isready -h 127.0.0.1").returncode == 0, "PostgreSQL answers", deadline=60)
    return name


STORES = {"MUSTER_STORE": "redis://redis:6379"}
BOTH = {**STORES, "MUSTER_POSTGRES": "postgresql://muster:secret@postgres/muster"}


def test_labels_and_what_it_starts_as(image):
    config = inspect(image, "Config")
    labels = config["Labels"]
    for name in ("title", "description", "licenses", "version", "revision", "created", "base.name"):
        assert labels[f"org.opencontainers.image.{name}"]
    assert labels["org.opencontainers.image.revision"] == "test"
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["muster"] and config["Cmd"] == ["node"]
    assert config["Healthcheck"]["Test"][0] == "CMD"


def test_only_what_runs(image):
    found = run("docker", "run", "--rm", "--entrypoint", "bash", image, "-c",
                "command -v gcc cc make cmake ninja ld; ls /src /build /tmp /var/lib/apt/lists 2>/dev/null; true").stdout
    assert re.sub(r"^/\S+:$", "", found, flags=re.MULTILINE).strip() == ""
    assert "not found" not in run("docker", "run", "--rm", "--entrypoint", "ldd", image, "/usr/local/bin/muster").stdout


def test_version_and_help(box):
    assert box.once("--version").stdout.startswith("muster ")
    assert "verbs:" in box.once("--help").stdout


def test_node(box):
    name = box.muster("node", "node")
    wait_until(lambda: inspect(name, "State")["Health"]["Status"] == "healthy", "Docker calls it healthy", deadline=40)
    assert status_of(name, 8080, "/readyz") == "200"
    assert inside(name, "id -u").stdout.strip() == "10001"
    assert inside(name, "touch /tmp/x || touch /home/x || touch /var/x").returncode != 0
    run("docker", "stop", "-t", "20", name)
    assert inspect(name, "State")["ExitCode"] == 0, log_of(name)


def test_health_follows_the_admin_address(box):
    name = box.muster("node", "node", env={"MUSTER_ADMIN": "0.0.0.0:9090"})
    wait_until(lambda: inspect(name, "State")["Health"]["Status"] == "healthy", "Docker calls it healthy", deadline=40)
    assert status_of(name, 8080, "/healthz") == "404"


def test_a_node_that_hangs_is_unhealthy(box):
    name = box.muster("node", "node", "--health-interval=1s", "--health-timeout=1s", "--health-start-period=0s",
                      "--health-retries=1")
    wait_until(lambda: inspect(name, "State")["Health"]["Status"] == "healthy", "Docker calls it healthy", deadline=40)
    run("docker", "kill", "-s", "STOP", name)
    wait_until(lambda: inspect(name, "State")["Health"]["Status"] == "unhealthy", "and then unhealthy", deadline=40)
    run("docker", "kill", "-s", "CONT", name)
    wait_until(lambda: inspect(name, "State")["Health"]["Status"] == "healthy", "and healthy again", deadline=40)


def test_two_nodes_and_a_check(box, redis):
    names = [box.muster(f"node{i}", "node", env=STORES) for i in (1, 2)]
    for name in names:
        wait_until(lambda: status_of(name, 8080, "/readyz") == "200", f"{name} is ready")
    assert "store: reached" in box.once("check", env=STORES).stdout
    run("docker", "kill", redis)
    assert box.once("check", env=STORES, check=False).returncode == 1


def test_a_bad_setting_is_named(box):
    done = box.once("node", env={"MUSTER_STOER": "redis://redis"}, check=False)
    assert done.returncode == 2 and "MUSTER_STOER" in done.stderr


def test_a_secret_from_a_file(box, redis, tmp_path):
    secret = tmp_path / "store"
    secret.write_text("redis://redis:6379\n")
    tmp_path.chmod(0o755)
    done = box.once("check", "-v", f"{secret}:/run/secrets/store:ro", env={"MUSTER_STORE_FILE": "/run/secrets/store"})
    assert "store: reached" in done.stdout


def test_migrate_and_sink(box, redis, postgres):
    box.once("migrate", env=BOTH)
    box.once("migrate", env=BOTH)  # a second time is nothing
    assert "all is well" in box.once("check", env=BOTH).stdout
    name = box.muster("sink", "sink", env=BOTH)
    wait_until(lambda: status_of(name, 8080, "/readyz") == "200", "the sink is ready")
    wait_until(lambda: inspect(name, "State")["Health"]["Status"] == "healthy", "Docker calls it healthy", deadline=40)
    run("docker", "stop", "-t", "20", name)
    assert inspect(name, "State")["ExitCode"] == 0, log_of(name)


def test_the_bare_image_serves_and_finds_names(box, bare, redis):
    """Without a shell: asked from a container beside it. It looks a name up, and ends in order."""
    assert json.loads(run("docker", "inspect", bare).stdout)[0]["Size"] < 60e6
    name = box.start("bare", bare, "node", options=[*HARDENED, *variables(STORES)])
    asking = box.muster("beside", "node")
    words = "GET /readyz HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n"
    script = f"exec 3<>/dev/tcp/bare/8080 && printf '{words}' >&3 && read -r -t 5 _ status _ <&3 && echo $status"
    wait_until(lambda: inside(asking, script).stdout.strip() == "200", f"it serves: {log_of(name)}", deadline=40)
    run("docker", "stop", "-t", "20", name)
    assert inspect(name, "State")["ExitCode"] == 0, log_of(name)

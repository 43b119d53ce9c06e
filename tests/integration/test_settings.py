# SPDX-License-Identifier: MIT
"""Settings: what is wrong is named, and nothing is guessed."""

import json
import re
import signal
import urllib.error
import urllib.request

import pytest

from lib.ports import free_port
from lib.process import muster
from lib.waiting import wait_until

SETTINGS = ["http", "admin", "store", "store-ca", "store-cert", "store-key",
            "store-server-name", "store-prefix", "workers", "lease", "drain", "env", "log-level", "log-format",
            "message-limit", "queue-limit", "header-limit", "connection-limit", "address-limit", "request-timeout",
            "keep-alive", "sync-idle"]
VERBS = ["node", "check"]
BAD_VALUES = [
    ("http", "nonsense"), ("http", "127.0.0.1"), ("http", "127.0.0.1:70000"), ("http", "127.0.0.1:"),
    ("store", "mysql://x"), ("store", "redis://"), ("store", "redis://host:99999"), ("store", ""),
    ("lease", "10"), ("lease", "ten"), ("lease", "-1s"), ("lease", "0s"), ("lease", "10 s"), ("lease", "10x"),
    ("lease", ""), ("lease", "99999999999999999999s"), ("drain", "1.5s"), ("env", "staging"), ("env", ""),
    ("log-level", "loud"), ("log-format", "xml"), ("message-limit", "64q"), ("message-limit", "0"),
    ("message-limit", "-5k"), ("queue-limit", "99999999999999999999"), ("connection-limit", "-1"),
    ("store", "rediss://"), ("store", "redis+sentinel://host"), ("workers", "0"), ("workers", "all"),
    ("connection-limit", "many"), ("sync-idle", "5"), ("admin", "somewhere"),
]
KUBERNETES = {
    "MUSTER_SERVICE_HOST": "10.0.0.1", "MUSTER_SERVICE_PORT": "8080", "MUSTER_SERVICE_PORT_HTTP": "8080",
    "MUSTER_PORT": "tcp://10.0.0.1:8080", "MUSTER_PORT_8080_TCP": "tcp://10.0.0.1:8080",
    "MUSTER_PORT_8080_TCP_PROTO": "tcp", "MUSTER_PORT_8080_TCP_PORT": "8080", "MUSTER_PORT_8080_TCP_ADDR": "10.0.0.1",
    "MUSTER_PORT_3000_UDP_ADDR": "10.0.0.1",
}


def assert_names(result, *words):
    """It ended with an error that contains each word."""
    assert result.returncode > 0, result
    for word in words:
        assert word in result.stderr, result.stderr


def assert_not_well(result, *words):
    """`check` found something, and says it with each word."""
    assert result.returncode > 0, result
    for word in words:
        assert word in result.stdout + result.stderr, result


def env_name(setting):
    return "MUSTER_" + setting.upper().replace("-", "_")


def test_help_lists_every_setting_and_verb():
    result = muster("--help")
    assert result.returncode == 0 and result.stderr == ""
    for setting in SETTINGS:
        assert f"--{setting}" in result.stdout
    for verb in VERBS:
        assert f"{verb}" in result.stdout
    for default in ("0.0.0.0:8080", "memory:", "10s", "30s", "256k", "1m", "5m"):
        assert default in result.stdout


def test_help_of_a_verb():
    for verb in VERBS:
        result = muster(verb, "--help")
        assert result.returncode == 0 and "--http" in result.stdout


def test_version():
    result = muster("--version")
    assert result.returncode == 0
    assert re.match(r"muster \d+\.\d+\.\d+", result.stdout)


def test_no_verb_and_an_unknown_verb():
    assert_names(muster(), "usage")
    assert_names(muster("dance"), "dance")
    assert_names(muster("node", "surplus"), "surplus")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("flag", ["--nonsense", "--stor", "--http-", "-x", "--store_prefix"])
def test_unknown_flags(verb, flag):
    assert_names(muster(verb, flag, "1"), flag)


def test_a_flag_without_its_value():
    assert_names(muster("node", "--lease"), "--lease")


@pytest.mark.parametrize("setting, value", BAD_VALUES)
def test_bad_values_of_flags(setting, value):
    assert_names(muster("node", f"--{setting}", value), f"--{setting}")


@pytest.mark.parametrize("setting, value", [pair for pair in BAD_VALUES if pair[1] != ""])
def test_bad_values_of_variables(setting, value):
    assert_names(muster("node", env={env_name(setting): value}), env_name(setting))


@pytest.mark.parametrize("name", ["MUSTER_NONSENSE", "MUSTER_", "MUSTER_LEASES", "MUSTER_SERVICE", "MUSTER_HTTP_FILE",
                                  "MUSTER_PORT_HTTP", "MUSTER_lease"])
def test_unknown_variables(name):
    assert_names(muster("node", env={name: "x"}), name)


def test_variables_of_kubernetes_are_passed_over(yard):
    yard.node(env=KUBERNETES)


def test_variables_of_others_are_none_of_ours(yard):
    yard.node(env={"MUSTERING": "x", "MY_MUSTER_HTTP": "x", "SERVICE_MUSTER": "x"})


def test_variables_set_what_flags_do(yard):
    node = yard.node(env={"MUSTER_LOG_FORMAT": "json", "MUSTER_STORE_PREFIX": "x"})
    assert node.log().startswith("{")


def test_a_flag_counts_more_than_a_variable(yard):
    node = yard.node(env={"MUSTER_HTTP": f"127.0.0.1:{free_port()}", "MUSTER_DRAIN": "5s"})
    assert node.status("/version") == 200


def test_flags_with_an_equals_sign():
    result = muster("check", "--lease=2s", "--store=memory:")
    assert result.returncode == 0, result.stderr


def test_the_store_from_a_file(yard, redis, tmp_path):
    secret = tmp_path / "store"
    secret.write_text(redis.url + "\n")
    node = yard.node(env={"MUSTER_STORE_FILE": str(secret)})
    assert node.metrics()["muster_store_commands_total"] > 0


def test_a_secret_file_that_is_not_there(tmp_path):
    assert_names(muster("node", env={"MUSTER_STORE_FILE": str(tmp_path / "absent")}), "MUSTER_STORE_FILE", "absent")


def test_a_secret_and_its_file_at_once(tmp_path):
    secret = tmp_path / "store"
    secret.write_text("memory:")
    assert_names(muster("node", env={"MUSTER_STORE_FILE": str(secret), "MUSTER_STORE": "memory:"}), "MUSTER_STORE")


@pytest.mark.parametrize("env", [{"SG_ENV": "production"}, {"SG_ENV": "development"}, {"MUSTER_ENV": "production"}])
def test_env_has_two_names(env):
    assert muster("check", "--dispatch-secret", "not the known one", env=env).returncode == 0


def test_env_by_its_other_name_is_production_or_nothing():
    for value, production in (("staging", False), ("", False), ("Production", True), ("PRODUCTION", True)):
        result = muster("check", "--dispatch-ports", "6000-6001", env={"SG_ENV": value})
        assert result.returncode == (2 if production else 0), result
        assert ("development secret" in result.stdout) == production


def test_check_is_content(redis):
    for store in ("memory:", redis.url):
        result = muster("check", "--store", store)
        assert result.returncode == 0, result.stderr


def test_check_says_what_cannot_be_reached():
    port = free_port()
    assert_not_well(muster("check", "--store", f"redis://127.0.0.1:{port}"), str(port))


def test_check_with_a_wrong_password(yard, redis):
    redis.command("CONFIG", "SET", "requirepass", "right")
    assert muster("check", "--store", f"redis://:right@127.0.0.1:{redis.port}").returncode == 0
    result = muster("check", "--store", f"redis://:wrong@127.0.0.1:{redis.port}")
    assert_not_well(result, str(redis.port))
    assert "wrong@" not in result.stderr + result.stdout, "a password is not shown"


def test_an_address_in_use(yard):
    node = yard.node()
    assert_names(muster("node", "--http", f"127.0.0.1:{node.port}"), str(node.port))


def test_passwords_are_not_logged(yard, redis):
    redis.command("CONFIG", "SET", "requirepass", "hush-hush")
    node = yard.node(store=f"redis://:hush-hush@127.0.0.1:{redis.port}", log_level="debug")
    node.stop()
    assert "hush-hush" not in node.log()


def test_log_lines_are_json_on_request(yard):
    node = yard.node(log_format="json")
    node.stop()
    lines = node.log().splitlines()
    assert lines
    for line in lines:
        assert {"time", "level", "msg"} <= set(json.loads(line))


def test_a_token_in_a_file_is_rotated_with_two_at_a_time(yard, tmp_path):
    """Old and new one both count while clients are moved; the file is looked at by itself."""
    secret = tmp_path / "token"
    secret.write_text("old\n")
    node = yard.node(env={"MUSTER_STATUS_TOKEN_FILE": str(secret)})

    def is_admitted(token):
        request = urllib.request.Request(node.http("/api/status"), headers={"Authorization": f"Bearer {token}"})
        try:
            return urllib.request.urlopen(request, timeout=10).status == 200
        except urllib.error.HTTPError:
            return False

    def admitted():
        return [token for token in ("old", "new", "old new", "ol") if is_admitted(token)]

    assert admitted() == ["old"]
    for text, wanted in (("old\nnew\n", ["old", "new"]), ("new\n", ["new"])):
        secret.write_text(text)
        wait_until(lambda want=wanted: admitted() == want, f"the tokens are {text!r}")
    secret.write_text("")
    wait_until(lambda: "is empty" in node.log(), "an empty file is refused")
    assert admitted() == ["new"]


def test_hup_and_usr1_end_nobody(yard):
    """SIGUSR2 has its own file, test_handover.py."""
    node = yard.node()
    for number in (signal.SIGHUP, signal.SIGUSR1):
        node.signal(number)
    wait_until(lambda: "reading the settings again" in node.log() and "means nothing here" in node.log(), "each signal has its line")
    assert node.status("/readyz") == 200


def test_drain_delay_lets_clients_in_while_not_ready(yard):
    node = yard.node(drain_delay="2s", drain="0")
    node.term()
    wait_until(lambda: node.status("/readyz") == 503, "it is not ready")
    assert node.status("/healthz") == 200
    wait_until(lambda: not node.alive(), "it has ended")
    assert node.exit_code() == 0

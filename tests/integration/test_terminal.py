# SPDX-License-Identifier: MIT
"""The verbs for a person at a terminal: status, tail, token, version, help; some of it in a real pseudo-terminal."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess

import pytest
import websockets

from lib.chat import ChatClient
from lib.logs import stored
from lib.ports import free_port
from lib.process import BINARY, muster
from lib.waiting import until, wait_until

NAMED = "localhost"


class Terminal:
    """A verb in a pseudo-terminal; what it shows is gathered."""

    def __init__(self, *args, **env):
        self.pid, self.end = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # what runs in the background has it ignored
            os.execve(BINARY, ["muster", *args], {**os.environ, "TERM": "xterm", **env})
        os.set_blocking(self.end, False)
        self.text = ""

    def shows(self):
        try:
            while piece := os.read(self.end, 65536):
                self.text += piece.decode()
        except (BlockingIOError, OSError):
            pass
        return self.text

    def press(self, keys):
        os.write(self.end, keys)

    def ended(self):
        self.shows()
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return (os.waitstatus_to_exitcode(status),) if pid else None

    def stop(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self.end)


@pytest.fixture
def terminal():
    opened = []

    def run(*args, **env):
        opened.append(Terminal(*args, **env))
        return opened[-1]
    yield run
    for one in opened:
        one.stop()


def at(node):
    return f"{NAMED}:{node.port}"


def test_status_says_it_in_text_and_by_its_exit_code(yard, redis):
    nodes = yard.fleet([redis.url] * 2, lease="2s")
    wait_until(lambda: muster("status", "--http", at(nodes[0])).stdout.count(" well\n") == 2, "both are well")
    said = muster("status", "--http", at(nodes[0]))
    assert said.returncode == 0 and said.stdout.startswith("All is well") and "came" in said.stdout
    assert "\033" not in said.stdout, "no colours where no terminal is"
    answer = json.loads(muster("status", "--http", nodes[0].http(""), "--json").stdout)
    assert len(answer["nodes"]) == 2 and answer["problems"] == []
    nodes[1].kill()
    wait_until(lambda: muster("status", "--http", at(nodes[0])).returncode == 1, "a lost node is a problem", 40)
    said = muster("status", "--http", at(nodes[0]))
    assert said.stdout.startswith("1 problem: vm-") and " lost " in said.stdout
    away = muster("status", "--http", f"{NAMED}:{free_port()}")
    assert away.returncode == 2 and "cannot be reached" in away.stderr and not away.stdout


def test_status_wants_the_token_that_the_node_wants(yard):
    node = yard.node(status_token="secret")
    refused = muster("status", "--http", at(node))
    assert refused.returncode == 2 and "--token" in refused.stderr
    assert muster("status", "--http", at(node), "--token", "secret").returncode == 0


def test_status_watches_in_a_terminal(yard, terminal):
    node = yard.node()
    screen = terminal("status", "--http", at(node), "--watch")
    wait_until(lambda: screen.shows().count("\033[H\033[J\033[1;32mAll is well") >= 2, "it draws again, in colours")
    screen.press(b"\x03")
    wait_until(screen.ended, "Ctrl-C ends it")


def test_tail_follows_a_room_from_a_level_on(yard, redis, terminal):
    first, second = yard.fleet([redis.url] * 2)
    stored(second, {"msg": "before", "room": "R", "level": "warn"})
    screen = terminal("tail", "--http", at(first), "--room", "R", "--level", "warn", "--since", "10m")
    wait_until(lambda: "before" in screen.shows(), "what was there")
    stored(second, [{"msg": "unseen", "room": "R", "level": "info"}, {"msg": "elsewhere", "room": "Q", "level": "error"},
                    {"msg": "none\0less", "room": "R", "level": "warn"}, {"msg": "two\nlines \033[2J\u009b2J", "room": "R", "level": "Error", "user": "u"}])
    wait_until(lambda: "lines" in screen.shows(), "a live line of another node")
    shown = screen.shows()
    assert "\033[31merror\033[0m u [R] two\r\n" + " " * 31 + "lines \\x1b[2J\\x9b2J" in shown, "lines as lines, controls as text"
    assert "none less" in shown, "a NUL is no end"
    assert "unseen" not in shown and "elsewhere" not in shown
    screen.press(b"\x03")
    wait_until(screen.ended, "Ctrl-C ends it")


def test_tail_survives_its_node_and_says_nothing_twice(yard, redis, terminal):
    first, second = yard.fleet([redis.url] * 2)
    screen = terminal("tail", "--http", at(first), "--grep", "number [0-9]", "--json")
    stored(second, {"msg": "number 1"})
    wait_until(lambda: '"number 1"' in screen.shows(), "a line")
    first.kill()
    wait_until(lambda: "trying again" in screen.shows(), "the loss is said")
    stored(second, [{"msg": "number 2"}, {"msg": "none"}])
    first.start().ready()
    wait_until(lambda: '"number 2"' in screen.shows(), "what was missed", 40)
    assert screen.shows().count('"number 1"') == 1 and '"none"' not in screen.shows()


def test_tail_ends_when_nobody_reads(yard):
    node = yard.node()
    stored(node, [{"msg": f"line {i}"} for i in range(5)])
    tail = subprocess.Popen([BINARY, "tail", "--http", at(node), "--since", "1h"], stdout=subprocess.PIPE)
    tail.stdout.read(10)
    tail.stdout.close()

    def ended():
        stored(node, {"msg": "more"})
        return tail.poll() is not None
    wait_until(ended, "it ends")


@pytest.mark.parametrize("kind", ["secret", "rsa", "ec"])
async def test_a_token_is_believed_by_the_chat(yard, tmp_path, kind):
    if kind == "secret":
        how, settings = ["--secret", "a secret of more than thirty-two bytes"], {"chat_jwt_secret": "a secret of more than thirty-two bytes"}
    else:
        key, public = tmp_path / "key.pem", tmp_path / "public.pem"
        made = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"] if kind == "rsa" else ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        subprocess.run(["openssl", "genpkey", *made, "-out", key], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
        how, settings = ["--key", str(key)], {"chat_jwt_key": str(public)}
    node = yard.node(chat_login="jwt", **settings)
    token = muster("token", "--user", "alice", "--for", "1h", *how).stdout.strip()
    client = await ChatClient.member(node, token)
    client.vanish()


def test_mistakes_are_said_and_end_with_2():
    for args, words in ((["token", "--secret", "x"], "--user"), (["token", "--user", "a"], "--secret or --key"), (["token", "--user", "a", "--key", "/none"], "private key"),
                        (["token", "--user", "a", "--secret", "x", "--for", "soon"], "no time"), (["tail", "--level", "loud"], "none of trace"),
                        (["tail", "--grep", "("], "--grep"), (["status", "--colour"], "is no flag"), (["status", "--http"], "wants a value"),
                        (["help", "nothing"], "is no verb"), (["help", "--completion", "tcsh"], "none of bash, zsh, fish")):
        said = muster(*args)
        assert said.returncode == 2 and words in said.stderr and not said.stdout, (args, said)


def test_version_and_help():
    said = muster("version")
    assert said.returncode == 0 and said.stdout.startswith("muster ") and ", commit " in said.stdout.splitlines()[0]
    assert all(name in said.stdout for name in ("libevent", "hiredis", "libpq", "OpenSSL", "curl", "zlib"))
    assert muster("-V").stdout == said.stdout
    assert "--watch" in muster("help", "status").stdout and muster("status", "--help").returncode == 0
    assert "serve" in muster("help", "node").stdout and "token" in muster("help").stdout


def test_manual_and_completions_are_made_from_the_settings():
    manual = muster("help", "--man").stdout
    assert ".TH MUSTER 1" in manual and "\\fB\\-\\-store\\-prefix\\fR" in manual and "MUSTER_STORE_PREFIX" in manual
    if shutil.which("man"):
        shown = subprocess.run(["man", "--warnings", "-l", "-"], input=manual, capture_output=True, text=True, env={**os.environ, "MANPAGER": "cat"})
        assert shown.returncode == 0 and not shown.stderr, shown.stderr
    bash = muster("help", "--completion", "bash").stdout
    completed = lambda words: subprocess.run(
        ["bash", "-c", bash + f'\nCOMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _muster; printf "%s\\n" "${{COMPREPLY[@]}}"'],
        capture_output=True, text=True, check=True).stdout.split()
    assert completed("muster st") == ["status"]
    assert "--store-prefix" in completed("muster node --store-p")
    assert completed("muster node --log-format j") == ["json"]
    for verb in ("status", "tail", "token"):
        told = re.findall(r"^ +--([a-z]+)", muster("help", verb).stdout, re.M)
        assert sorted(completed(f"muster {verb} --")) == sorted(f"--{flag}" for flag in {*told, "help"}), verb
    for shell, word in (("zsh", "#compdef muster"), ("fish", "-l store-prefix")):
        assert word in muster("help", "--completion", shell).stdout
        if shutil.which(shell):
            assert subprocess.run([shell, "-n"], input=muster("help", "--completion", shell).stdout, text=True, capture_output=True).returncode == 0


async def test_tail_takes_lines_of_two_lanes_in_any_order(terminal):
    """A listener hears lanes one after the other: what comes later may bear a smaller number."""
    async def serve(socket, _):
        for seq in (5, 3, 4, 5, 3):
            await socket.send(json.dumps([{"seqNumber": seq, "msg": f"number {seq}"}]))
        await socket.send(json.dumps([{"seqNumber": 6, "msg": "the end"}]))
        await socket.wait_closed()
    async with websockets.serve(serve, "127.0.0.1", port := free_port()):
        screen = terminal("tail", "--http", f"127.0.0.1:{port}")
        await until(lambda: "the end" in screen.shows(), "all came")
        assert [screen.shows().count(f"number {seq}") for seq in (3, 4, 5)] == [1, 1, 1]

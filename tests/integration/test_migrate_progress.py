# SPDX-License-Identifier: MIT
"""`muster migrate` while it lasts: one line that is written over on a terminal, plain lines elsewhere."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time

import pytest

from lib.process import BINARY, ROOT, clean_env, muster
from lib.waiting import wait_until

CLEAR = "\r\x1b[K"
LOCK_KEY = 0x6d757374  # store/postgres/migrate.c
NOBODY = "postgresql://127.0.0.1:1/x"


class Terminal:
    """A program whose stderr is a terminal; `text` is what it wrote there so far."""

    def __init__(self, *args, columns=100, term="xterm"):
        self.text = ""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.popen = subprocess.Popen([str(BINARY), *args], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, cwd=ROOT,
                                      env=clean_env({"TERM": term}))
        os.close(slave)
        self.reader = threading.Thread(target=self.read, args=(master,), daemon=True)
        self.reader.start()

    def read(self, master):
        with contextlib.suppress(OSError):  # EIO: the program has ended
            while data := os.read(master, 4096):
                self.text += data.decode()
        os.close(master)

    def end(self):
        code = self.popen.wait(60)
        self.reader.join()
        return code

    def lines(self):
        """What stands there in the end."""
        return [line.split(CLEAR)[-1] for line in self.text.replace("\r\n", "\n").split("\n")]


@pytest.fixture
def server(yard):
    return yard.postgres(migrated=False)


@contextlib.contextmanager
def locked(server):
    """Somebody else migrates, until the block ends."""
    other = subprocess.Popen(["psql", "-X", "-q", "-d", server.uri], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    other.stdin.write(f"select pg_advisory_lock({LOCK_KEY});\n")
    other.stdin.flush()
    wait_until(lambda: server.value("select count(*) from pg_locks where locktype = 'advisory' and granted") == "1", "the lock")
    try:
        yield
    finally:
        other.stdin.close()
        other.wait()


def test_a_terminal_sees_what_is_applied(server):
    terminal = Terminal("migrate", "--postgres", server.uri)
    assert terminal.end() == 0, terminal.text
    names = sorted(path.stem for path in (ROOT / "migrations").glob("*.sql"))
    assert f"{CLEAR}0001_log: applying, 1 of {len(names)}: 0 s" in terminal.text
    assert [re.sub(r"^\S+ +", "", line) for line in terminal.lines()] == [
        *(f'info  migrate detail="{name}: applied"' for name in names), 'info  migrate detail="the schema is up to date"', ""], \
        "and only that stays"


def test_a_terminal_sees_the_seconds_of_a_wait(server):
    with locked(server):
        terminal = Terminal("migrate", "--postgres", server.uri, columns=60)
        wait_until(lambda: f"{CLEAR}waiting for another migration of this database: 0 s" in terminal.text, "it waits")
        wait_until(lambda: "database: 1 s" in terminal.text, "the seconds go on")
        assert terminal.popen.poll() is None
    assert terminal.end() == 0
    assert "waiting" not in "".join(terminal.lines()), "its line is gone"
    assert "up to date" in terminal.lines()[-2]


def test_a_narrow_terminal_gets_what_fits(server):
    with locked(server):
        terminal = Terminal("migrate", "--postgres", server.uri, columns=20)
        wait_until(lambda: f"{CLEAR}waiting for another{CLEAR}" in terminal.text, "19 characters, so that no line wraps")
    assert terminal.end() == 0


def test_a_terminal_sees_tries_to_connect():
    terminal = Terminal("migrate", "--postgres", NOBODY)
    wait_until(lambda: f"{CLEAR}connecting to PostgreSQL: 1 of 10 s" in terminal.text, "it tries")
    terminal.popen.terminate()
    terminal.end()


@pytest.mark.parametrize("how", [{"term": "dumb"}, {"args": ("--log-format", "json")}])
def test_where_lines_cannot_be_cleared_none_is(server, how):
    args = how.pop("args", ())
    terminal = Terminal("migrate", "--postgres", server.uri, *args, **how)
    assert terminal.end() == 0
    assert "applied" in terminal.text and "\x1b" not in terminal.text


def test_elsewhere_lines_are_plain(server):
    done = muster("migrate", "--postgres", server.uri, env={"TERM": "xterm"})
    assert done.returncode == 0
    assert "applied" in done.stderr and not set("\r\x1b") & set(done.stderr + done.stdout)


def test_elsewhere_a_long_wait_is_told_now_and_then(server):
    with locked(server):
        with open(server.folder / "err", "wb") as err:
            waiting = subprocess.Popen([str(BINARY), "migrate", "--postgres", server.uri], stderr=err, env=clean_env(), cwd=ROOT)
        said = lambda: (server.folder / "err").read_text()
        began = time.monotonic()
        wait_until(lambda: 'detail="waiting for another migration of this database: 10 s"' in said(), "it says so", 60)
        assert time.monotonic() - began >= 9
        assert said().count("waiting") == 1
    assert waiting.wait(60) == 0
    assert "\r" not in said()


def test_an_error_in_the_middle_is_told_and_undone(server):
    """Not the last of several statements fails: what came before it is rolled back."""
    server.psql("create table log_entry (unfit int)")
    done = muster("migrate", "--postgres", server.uri)
    assert done.returncode == 1 and "0001_log" in done.stderr, done.stderr
    assert server.value("select count(*) from muster_migration") == "0"
    server.psql("drop table log_entry")
    assert muster("migrate", "--postgres", server.uri).returncode == 0

# SPDX-License-Identifier: MIT
"""A PostgreSQL cluster of the test's own, on a free port, in a folder of its own."""

import functools
import glob
import hashlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

from lib.ports import free_port
from lib.process import Process, muster
from lib.redis import with_clock
from lib.shared import made_once
from lib.waiting import wait_until


def bin_folder():
    """Where Debian keeps initdb and postgres: the newest version's."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))
    assert found, "PostgreSQL is not installed"
    return pathlib.Path(found[-1])


def as_user(command):
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]


@functools.cache
def place_of_data():
    """Memory, where there is much of it: to copy the files of a server takes a fifth of the time there, and that is what most
    tests with PostgreSQL spend most of it with. None: the folder for temporary files."""
    memory = pathlib.Path("/dev/shm")
    return memory if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30 else None


def owned_folder():
    """A new one, of the user that PostgreSQL runs as."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="muster-pg-", dir=place_of_data()))
    give_to_server(folder)
    return folder


def give_to_server(folder):
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        os.chmod(folder, 0o700)


def cluster(programs, migrated):
    """The data of a server of these programs that never ran, or of one that has Muster's schema: made once for all tests,
    since it takes more than all else of most tests."""
    make = migrate_into if migrated else initialise
    name = f"{make.__name__}-{hashlib.sha256(bytes(programs)).hexdigest()[:8]}"
    return made_once(name, lambda folder: make(folder, programs)) / "d"


def initialise(folder, programs):
    give_to_server(folder)
    subprocess.run(as_user([str(programs / "initdb"), "-D", str(folder / "d"), "-U", "postgres", "-A", "trust",
                            "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--wal-segsize=1"]),
                   check=True, stdout=subprocess.DEVNULL, cwd="/")


def copy(source, target):
    """The data from one folder of a server to that of another."""
    subprocess.run(["cp", "-a", "--reflink=auto", str(source / "d"), str(target / "d")], check=True)


def migrate_into(folder, programs):
    give_to_server(folder)
    server = Postgres("migrated", folder, programs).make().start()
    done = muster("migrate", "--postgres", server.uri, deadline=60)
    assert done.returncode == 0, done.stderr
    server.popen.send_signal(signal.SIGINT)  # in order, with a checkpoint
    assert server.popen.wait() == 0, server.log_tail()
    copy(server.data, folder)
    server.stop()


class Postgres(Process):
    """Its data outlive a kill; stop() removes them. `programs`: the folder of another version's. Its clock is `apart`
    seconds ahead."""

    def __init__(self, name, folder, programs=None, apart=0, **options):
        super().__init__(name, folder)
        self.programs = programs or bin_folder()
        self.apart = apart
        self.port = free_port()
        self.data = owned_folder()
        self.options = {"fsync": "off", "max_connections": "60", "log_min_messages": "fatal", **options}

    @property
    def uri(self):
        return self.uri_at(self.port)

    @staticmethod
    def uri_at(port):
        return f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def make(self, migrated=False):
        """Its data; with Muster's schema, if wanted."""
        copy(cluster(self.programs, migrated).parent, self.data)
        return self

    def make_standby_of(self, primary):
        """A copy of the primary as it is now, which follows it from its start on."""
        subprocess.run(as_user([str(self.programs / "pg_basebackup"), "-d", primary.uri, "-D", str(self.data / "d"), "-R", "-X", "stream",
                                "--checkpoint=fast", "--no-sync"]), check=True, cwd="/", stdout=subprocess.DEVNULL)
        return self

    def start(self):
        command = [str(self.programs / "postgres"), "-D", str(self.data / "d"), "-p", str(self.port), "-h", "127.0.0.1",
                   "-k", ""]
        for name, value in self.options.items():
            command += ["-c", f"{name}={value}"]
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(as_user(command), cwd="/", env=with_clock(self.apart), stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log)
        wait_until(self.answers, f"{self.name} answers")
        return self

    def answers(self):
        assert self.alive(), f"{self.name} ended:\n{self.log_tail()}"
        return self.psql("select 1", check=False).returncode == 0

    def psql(self, sql, check=True, limit=60):
        """Runs psql, which is what a user has."""
        done = subprocess.run([str(bin_folder() / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.uri, "-c", sql],
                              capture_output=True, text=True, timeout=limit, check=False)
        assert not check or done.returncode == 0, f"{sql}\n{done.stderr}"
        return done

    def ask(self, sql):
        """Rows as lists of text."""
        return [line.split("|") for line in self.psql(sql).stdout.splitlines()]

    def value(self, sql):
        return self.psql(sql).stdout.strip()

    def kill(self):
        """The crash of the whole server: postmaster and all its children at once."""
        if self.alive():
            self.popen.send_signal(signal.SIGQUIT)  # immediate shutdown: no checkpoint, as after a crash
            self.popen.wait()

    def signal_all(self, number):
        """To the postmaster and all its children."""
        children = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in [self.pid, *map(int, children)]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def stop(self):
        if self.popen is not None and self.alive():
            self.signal_all(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.data, ignore_errors=True)

# SPDX-License-Identifier: MIT
"""What a long run is doing and how far it is: on a terminal one line that is written over, elsewhere plain lines."""

import os
import shutil
import sys
import threading
import time

CLEAR_LINE = "\r\x1b[K"


class Progress:
    """`every`: seconds between two plain lines of what only ticks. Any thread may call."""

    def __init__(self, out=None, every=15.0):
        self.out = out or sys.stdout
        self.live = self.out.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
        self.every = every
        self.task, self.began, self.last = "", 0.0, ""
        self._told = -every
        self._lock = threading.Lock()
        self._ticker = None
        self._over = threading.Event()

    def line(self, text=""):
        """A line that stays."""
        with self._lock:
            self.out.write((CLEAR_LINE if self.live else "") + text + "\n")
            self.out.flush()

    def step(self, text):
        """Something was done: a plain line elsewhere."""
        self.last = text
        if self.live:
            self._show()
        else:
            self.line(text)

    def tick(self, text):
        """Something goes on: elsewhere a plain line only now and then."""
        if self.live or time.monotonic() - self._told >= self.every:
            self._told = time.monotonic()
            self.step(text)

    def begin(self, task):
        """From now on `task` and its seconds stand before what is shown, and go on by themselves."""
        self.end()
        self.task, self.began, self.last = task, time.monotonic(), ""
        if not self.live:
            self.line(task)
            return
        self._over.clear()
        self._ticker = threading.Thread(target=self._run, daemon=True)
        self._ticker.start()

    def end(self):
        """The task is over; its line goes."""
        if self._ticker is not None:
            self._over.set()
            self._ticker.join()
            self._ticker = None
        if self.live and self.task:
            with self._lock:
                self.out.write(CLEAR_LINE)
                self.out.flush()
        self.task = ""

    def _run(self):
        self._show()
        while not self._over.wait(1.0):
            self._show()

    def _show(self):
        text = self.last
        if self.task:
            text = f"{self.task}, {time.monotonic() - self.began:.0f} s" + (f": {text}" if text else "")
        width = shutil.get_terminal_size((80, 24)).columns - 1
        with self._lock:
            self.out.write(CLEAR_LINE + text.replace("\n", " ")[:width])
            self.out.flush()

# SPDX-License-Identifier: MIT
"""What was counted: figures, and promises with how often each was broken."""

import sys
import time

from lib.progress import Progress


class Tally:
    """Figures only grow; a promise is kept while its count is 0. `say` is told of each break at once."""

    MOST_DETAILS = 40

    def __init__(self, out=sys.stdout):
        self.figures = {}
        self.promises = {}
        self.of_calm = set()  # promises for while all is well
        self.held = None
        self.details = []
        self.slowest = {}
        self.began = time.monotonic()
        self.shown = Progress(out)
        self.on_terminal = self.shown.live

    def count(self, figure, by=1):
        self.figures[figure] = self.figures.get(figure, 0) + by

    def promise(self, *names):
        """Names what will be judged, so that it stands in the report even when nothing breaks it."""
        for name in names:
            self.promises.setdefault(name, 0)

    def promise_in_calm(self, *names):
        """Such as hold while all is well: when a link fell of a slow machine meanwhile, it was not."""
        self.promise(*names)
        self.of_calm.update(names)

    def hold(self):
        """What breaks a promise of calm is only noted from here on, until it is known whether there was calm."""
        self.held = []

    def judge(self, was_calm):
        held, self.held = self.held, None
        for promise, detail in held if was_calm else ():
            self.broken(promise, detail)

    def broken(self, promise, detail):
        if self.held is not None and promise in self.of_calm:
            self.held.append((promise, detail))
            return
        self.promises[promise] = self.promises.get(promise, 0) + 1
        if len(self.details) < self.MOST_DETAILS:
            self.details.append(f"{time.monotonic() - self.began:.1f} s, {promise}: {detail}")
            self.line(f"BROKEN {self.details[-1]}")

    def took(self, what, seconds):
        self.slowest[what] = max(self.slowest.get(what, 0.0), seconds)

    def kept(self):
        return not any(self.promises.values())

    def line(self, text):
        """A line that stays."""
        self.shown.line(text)

    def doing(self, what):
        """What takes its time now, before or after the clients' own."""
        self.shown.step(what)

    def progress(self, seconds, faults):
        """One line that is written over on a terminal; elsewhere now and then a plain one."""
        done = time.monotonic() - self.began
        sent = sum(number for figure, number in self.figures.items() if figure.endswith("sent"))
        seen = sum(number for figure, number in self.figures.items() if figure.endswith("received"))
        time_ = f"{done:.0f} of {seconds:.0f} s" if done < seconds else f"judging the end, {done - seconds:.0f} s"
        self.shown.step(f"{time_}: {faults} faults, {sent} sent, {seen} received, "
                        f"{sum(self.promises.values())} broken")

    def report(self):
        lines = [f"  {name:<52}{number:>10}" for name, number in sorted(self.figures.items())]
        lines += [f"  slowest: {name:<43}{seconds:>8.1f} s" for name, seconds in sorted(self.slowest.items())]
        lines += ["", "promises (how often broken)"]
        lines += [f"  {name:<52}{number:>10}" for name, number in sorted(self.promises.items())]
        self.line("\n".join(["", "figures"] + lines))

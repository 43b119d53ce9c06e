#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measures a muster node against floors: see README.md beside this file.

usage: run.py [CASE ...] [--quick] [--rounds N] [--build DIR] [--set NAME=VALUE ...]
"""
import argparse
import os
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

from cases import CASES, ON_REQUEST  # noqa: E402
from harness import Bench  # noqa: E402
from lib.node import Node  # noqa: E402
from lib.progress import Progress  # noqa: E402


def read_options():
    parser = argparse.ArgumentParser(description="Measures a muster node against floors.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all but {', '.join(ON_REQUEST)}")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--rows", type=int, help="that `questions` are asked of (5,000,000)")
    parser.add_argument("--only", metavar="NAME,...", help="of `peers`: these (Muster,ws)")
    parser.add_argument("--receivers", type=int, help="of `peers`: of its fan-out (1,000)")
    parser.add_argument("--idle", type=int, help="of `peers`: its idle connections (6,000)")
    parser.add_argument("--sessions", type=int, help="of `peers`: its groups of 4 (1,000)")
    parser.add_argument("--pushes", type=int, help="of `peers`: a second in these groups (2,000)")
    parser.add_argument("--write", action="store_true", help="`peers` writes its tables into docs/compare.md, `costs` its own into SECURITY.md")
    parser.add_argument("--rounds", type=int, help="of each side of a case")
    # Taken out of the environment: nodes refuse MUSTER_ variables that are no settings.
    build = os.environ.pop("MUSTER_BUILD", None) or os.path.join(ROOT, "build")
    parser.add_argument("--build", default=build, help="the build folder (MUSTER_BUILD, or build)")
    parser.add_argument("--muster", help="the node's program (build/muster)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting for every node, with _ for -")
    parser.add_argument("--keep", action="store_true", help="keep the servers' logs")
    options = parser.parse_args()
    for name in options.cases:
        if name not in CASES:
            parser.error(f"no case named {name}; there are {', '.join(CASES)}")
    options.build = os.path.abspath(options.build)
    options.muster = os.path.abspath(options.muster or os.path.join(options.build, "muster"))
    Node.binary = options.muster
    options.tools = os.path.join(options.build, "tests", "bench")
    return options


def check_programs(options):
    for program in (options.muster, os.path.join(options.tools, "bench_load")):
        if not os.access(program, os.X_OK):
            sys.exit(f"{program} is not there: build with -DMUSTER_BENCH=ON, or see --build")
    if shutil.which("redis-server") is None:
        sys.exit("redis-server is not there")


def print_table(progress, results):
    progress.line()
    progress.line("| work | to reach | seen | |")
    progress.line("| --- | --- | --- | --- |")
    for result in results:
        progress.line(f"| {result.work} | {result.goal()} | "
                      f"{result.verdict()} | {result.note} |")


def run_case(bench, progress, name, number, count):
    started = time.monotonic()
    progress.begin(f"case {number} of {count}: {name}")
    try:
        results = CASES[name].run(bench)
    finally:
        progress.end()
    for result in results:
        progress.line(f"{name}: {result.verdict()} ({result.note}; "
                      f"{time.monotonic() - started:.0f} s)")
    return results


def main():
    options = read_options()
    check_programs(options)
    progress = Progress()
    progress.line(f"{os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.2f} (best: near 0)")
    bench = Bench(options, progress)
    results, failed = [], False
    cases = options.cases or [name for name in CASES if name not in ON_REQUEST]
    for number, name in enumerate(cases, 1):
        try:
            results += run_case(bench, progress, name, number, len(cases))
        except AssertionError as error:
            failed = True
            progress.line(f"{name}: failed: {error}")
    print_table(progress, results)
    if options.keep or failed:
        progress.line(f"logs: {bench.folder}")
    else:
        shutil.rmtree(bench.folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

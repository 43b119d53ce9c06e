# SPDX-License-Identifier: MIT
"""What the cases about the cost of Redis share; no case itself."""
import contextlib
import subprocess
import time

CLOCK_OF_PROCESS = 2  # CPUCLOCK_SCHED: user and system time, all threads


def cpu_us(process):
    """Microseconds of CPU time so far."""
    return time.clock_gettime(~process.pid << 3 | CLOCK_OF_PROCESS) * 1e6


def commands(redis):
    done = subprocess.run(["redis-cli", "-p", str(redis.port), "info", "stats"], capture_output=True, text=True)
    return int(done.stdout.split("total_commands_processed:")[1].split()[0])


def steady(redis):
    """A question: does it do little since the last one?"""
    seen = [commands(redis)]

    def ask():
        time.sleep(0.5)
        seen.append(commands(redis))
        return seen[-1] - seen[-2] < 200
    return ask


@contextlib.contextmanager
def fleet(bench, count, **settings):
    """So many nodes on one Redis."""
    with bench.redis() as redis, contextlib.ExitStack() as stack:
        yield [stack.enter_context(bench.node(f"redis://{redis.address}", **settings)) for _ in range(count)], redis

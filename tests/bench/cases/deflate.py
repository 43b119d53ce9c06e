# SPDX-License-Identifier: MIT
"""What permessage-deflate costs: CPU time of a node per delivery of 2 KB of JSON to 1,000 receivers
who all negotiated it, by that of the same messages to receivers who did not."""
from harness import BenchError, Result, median, rounds

from . import fanout

SIZE = 2048


def run(bench):
    def deflated():
        with bench.node() as server:
            (each, seen), text = fanout.per_delivery(server, bench, size=SIZE, deflate=1)
            if seen["deflated"] != seen["deliveries"]:
                raise BenchError(f"{seen['deflated']} of {seen['deliveries']} deliveries deflated")
            share = seen["payload_bytes"] / seen["deliveries"] / SIZE
            return (each, seen), f"{text}, {share:.0%} of the bytes"

    def plain():
        with bench.node() as server:
            return fanout.per_delivery(server, bench, size=SIZE)

    ours, least = rounds(bench, "deflate", [("deflate", deflated), ("plain", plain)])
    ratio = median([a[0] / b[0] for a, b in zip(ours, least)])
    note = (f"{median([a[0] for a in ours]):.2f} us per delivery; "
            f"plain {median([b[0] for b in least]):.2f}")
    return [Result(f"the same with deflate, {SIZE // 1024} KB of JSON: node CPU per delivery, times "
                   "that without", 1.3, ratio, note=note)]

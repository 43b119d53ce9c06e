# SPDX-License-Identifier: MIT
"""A fleet in which nobody says anything wakes Redis once a beat for each node: what is due goes in one write."""

from lib.proxy import Proxy
from lib.waiting import wait_until

LEASE_BEAT = b"\r\nmuster:n\r\n"
BEATS = 12


class Counter(Proxy):
    """Keeps what came in one piece from the connection for commands."""

    def __init__(self, *args):
        super().__init__(*args)
        self.pieces = {}

    def on_up(self, link, data):
        self.pieces.setdefault(link, []).append(data)
        return data

    def between_beats(self):
        """From the third lease beat to the last one, which is not among them."""
        for pieces in self.pieces.values():
            at = [i for i, piece in enumerate(pieces) if LEASE_BEAT in piece]
            if len(at) > BEATS + 2:
                return pieces[at[2]:at[-1]]
        return None


def test_what_is_due_goes_in_one_write(yard, redis):
    proxy = yard.keep(Counter(redis.port)).start()
    yard.fleet([proxy.url, redis.url])
    wait_until(proxy.between_beats, f"{BEATS} beats", 60)
    pieces = proxy.between_beats()
    beats = sum(LEASE_BEAT in piece for piece in pieces)
    assert len(pieces) <= 1.6 * beats, "what the stream and the server are asked goes alone"

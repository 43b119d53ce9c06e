# SPDX-License-Identifier: MIT
"""Bytes that are nearly right: the same ones for the same seed."""

import random


class Mutator:
    """Changes bytes a little, with words that matter where they are read."""

    def __init__(self, seed, words):
        self.random, self.words = random.Random(seed), words

    def once(self, data):
        chance, at = self.random, self.random.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((1, 1, 2, 4, 20)))
        kind = chance.randrange(6)
        if kind == 0:
            return data[:at] + data[end:]
        if kind == 1:
            return data[:at] + bytes([chance.randrange(256)]) + data[end:]
        if kind == 2:
            return data[:at] + chance.choice(self.words) + data[at:]
        if kind == 3:
            return data[:at] + data[at:end] * 2 + data[end:]
        if kind == 4:
            old = chance.choice(self.words)
            return data.replace(old, chance.choice(self.words), 1)
        return data[:at] + chance.choice(self.words) + data[end:]

    def some(self, data):
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            data = self.once(data) or data
        return data

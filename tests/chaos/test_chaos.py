# SPDX-License-Identifier: MIT
"""The short form of `make chaos`."""

import os
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from run import chaos  # noqa: E402

SECONDS = float(os.environ.get("CHAOS_TEST_SECONDS", "25"))


def test_what_is_promised_is_kept_under_faults(tmp_path):
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(10 ** 9))
    tally = chaos(tmp_path, SECONDS, seed)
    assert tally.kept(), "\n".join([f"seed {seed}", *tally.details])
    assert tally.figures["faults injected"] >= 5

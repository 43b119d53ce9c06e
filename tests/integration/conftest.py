# SPDX-License-Identifier: MIT
"""These tests are about the binary."""

import pytest

from lib.process import BINARY


def pytest_configure(config):
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is not there: build it, or set MUSTER_BIN", returncode=2)

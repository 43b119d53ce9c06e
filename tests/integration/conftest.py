# SPDX-License-Identifier: MIT
"""These tests are about the binary. `make test` runs them with two builds of it: with sanitizers, which find what no
assertion looks for, and as it is shipped. The sanitized build runs all but SHIPPED; the shipped one runs SHIPPED, and
BOTH. So each test runs at least once, each line of C that a test reaches is reached under sanitizers, and what depends
on how the program was compiled (its speed, its memory, every protocol once) is tried as shipped. `make test SHARE=all`
runs everything with both."""

import pathlib

import pytest

from lib.process import BINARY

SHIPPED = {  # says little of C, or nothing with a sanitizer's own memory in it
    "test_accessibility", "test_fleet_page", "test_logs_dashboard", "test_logs_viewer", "test_screenshots",  # pages in a browser
    "test_node_ws", "test_dispatch_drivers", "test_shippers",  # clients in other languages
    "test_memory", "test_out_of_memory",
}
BOTH = {
    # Speed, memory, and turns of the loop under load.
    "test_dispatch_flow", "test_drain_many", "test_hostile", "test_log", "test_logs_intake", "test_pressure", "test_redis_stands_still",
    "test_relay_cluster", "test_relay_pacing", "test_slow_reader",
    # Every protocol, on one node and on several; processes that begin and end.
    "test_chat", "test_chat_cluster", "test_dispatch", "test_dispatch_cluster", "test_drain", "test_handover", "test_http", "test_logs",
    "test_logs_mirror", "test_minigame", "test_relay", "test_sync", "test_sync_cluster", "test_tracker", "test_websocket",
    "test_workers", "test_workers_services",
}


def pytest_addoption(parser):
    parser.addoption("--share", choices=("all", "shipped", "sanitized"), default="all",
                     help="which files: all, or what make test runs with this build")


def pytest_configure(config):
    if not BINARY.exists():
        pytest.exit(f"{BINARY} is not there: build it, or set MUSTER_BIN", returncode=2)
    here = {path.stem for path in pathlib.Path(__file__).parent.glob("test_*.py")}
    assert SHIPPED | BOTH <= here, f"no such tests: {SHIPPED | BOTH - here}"


def pytest_ignore_collect(collection_path, config):
    share, name = config.getoption("share"), collection_path.stem
    if collection_path.parent != pathlib.Path(__file__).parent or not name.startswith("test_") or share == "all":
        return None
    return name in SHIPPED if share == "sanitized" else name not in SHIPPED | BOTH

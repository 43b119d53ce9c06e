# SPDX-License-Identifier: MIT
"""Autobahn's WebSocket suite (the Python package autobahntestsuite) against the node's WebSocket server, which echoes
here. Its cases take minutes: MUSTER_AUTOBAHN names the cases (`*`: all; else the short ones)."""

import json
import os
import pathlib
import subprocess

import pytest

from lib.ports import free_port
from lib.process import ROOT, Process, clean_env
from second.programs import program

SUITE = ROOT / "build-tools" / "autobahn"  # made by autobahn.sh
SHORT = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.1.*", "6.2.*", "6.5.*", "6.12.*", "7.*", "10.*", "12.1.1", "12.2.1", "13.1.1"]
LONG = ["9.*"]  # megabytes, for speed
FINE = ("OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED")


@pytest.mark.skipif(not (SUITE / "python").exists(), reason="Autobahn's suite is not installed")
def test_autobahn(tmp_path):
    echo = Process("echo", tmp_path)
    echo.port = free_port()
    echo.launch([program("echo"), echo.address], clean_env())
    try:
        chosen = os.environ.get("MUSTER_AUTOBAHN")
        spec = {"outdir": str(tmp_path / "reports"), "servers": [{"agent": "muster", "url": f"ws://{echo.address}"}],
                "cases": [chosen] if chosen else SHORT, "exclude-cases": [] if chosen else LONG, "exclude-agent-cases": {}}
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        wstest = [str(SUITE / "python"), "-m", "autobahntestsuite.wstest"]
        done = subprocess.run([*wstest, "-m", "fuzzingclient", "-s", str(tmp_path / "spec.json")], cwd=tmp_path,
                              env=clean_env({"PYTHONPATH": str(SUITE)}), capture_output=True, text=True, timeout=900, check=False)
        index = pathlib.Path(tmp_path / "reports" / "index.json")
        assert index.exists(), done.stdout[-2000:] + done.stderr[-2000:]
        seen = json.loads(index.read_text())["muster"]
        wrong = {case: (one["behavior"], one["behaviorClose"]) for case, one in seen.items()
                 if one["behavior"] not in FINE or one["behaviorClose"] not in FINE}
        print(f"Autobahn: {len(seen)} cases, {len(wrong)} wrong")
        assert len(seen) > 100 and not wrong, wrong
        echo.check()
    finally:
        echo.kill()

# SPDX-License-Identifier: MIT
"""The systemd units: valid, hardened, and what they name is there. They are judged without a running systemd."""

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = ["muster-node@.service", "muster-sink.service", "muster-migrate.service"]
EXPOSURE = 20  # of 100: systemd-analyze's figure 2.0


@pytest.fixture(params=UNITS)
def unit(request, tmp_path):
    """A unit as it is installed, with a program that is there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not there (apt-get install systemd)")
    text = (ROOT / "packaging/systemd" / f"{request.param}.in").read_text()
    for name, value in {"MUSTER_PROGRAM": "/bin/true", "MUSTER_CONFIG_DIR": "/etc/muster",
                        "CMAKE_INSTALL_FULL_DOCDIR": "/usr/share/doc/muster"}.items():
        text = text.replace(f"@{name}@", value)
    path = tmp_path / request.param
    path.write_text(text)
    return path


def test_it_is_valid(unit):
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)], capture_output=True, text=True,
                          env={**os.environ, "SYSTEMD_UNIT_PATH": f"{unit.parent}:/usr/lib/systemd/system:/lib/systemd/system"})
    assert unit.name.split(".")[0] not in done.stderr and done.returncode == 0, done.stderr


def test_its_exposure_is_under_two(unit):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", str(unit)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout.splitlines()[-1:] + done.stderr.splitlines()


@pytest.mark.parametrize("name", UNITS[:2])
def test_it_is_ready_when_it_says_so_and_stops_as_long_as_it_needs(name):
    lines = (ROOT / "packaging/systemd" / f"{name}.in").read_text().splitlines()
    for wanted in ("Type=notify", "DynamicUser=yes", "ExecReload=/bin/kill -HUP $MAINPID", "RestartPreventExitStatus=2"):
        assert wanted in lines
    assert any(line.startswith("LimitNOFILE=") for line in lines)

"""The probe's calls between tokens cost next to nothing: its benchmark, on the quickest of the emulated boards."""

import json
import subprocess
import sys

from firmware_boards import FIRMWARE, QEMU, need

from tinyprof_agent.drivers.emulated.installed import emulator_missing, toolchain_missing
from tinyprof_platforms.targets import read_target


def test_the_probe_costs_under_a_hundredth_of_a_token() -> None:
    target = read_target(FIRMWARE / "targets" / QEMU)
    need(emulator_missing(target) or toolchain_missing(target))
    command = [sys.executable, str(FIRMWARE.parent / "benchmarks" / "probe_cost.py"), "--json", "--tokens", "16", QEMU]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    (cost,) = json.loads(done.stdout)
    assert cost["target"] == QEMU
    assert 10 < cost["with_probe"] - cost["without"] < 0.01 * cost["without"]

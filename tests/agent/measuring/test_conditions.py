from pathlib import Path

import pytest

from tinyprof_agent.conditions import HostState, conditions_between, read_host, readings
from tinyprof_protocol.records import Conditions


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


CPU = "sys/devices/system/cpu"
ZONES = "sys/class/thermal"
PI = "sys/devices/platform/soc/soc:firmware/get_throttled"


def test_a_machine_that_tells_everything(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            f"{ZONES}/thermal_zone0/type": "acpitz\n",
            f"{ZONES}/thermal_zone0/temp": "90000\n",
            f"{ZONES}/thermal_zone1/type": "x86_pkg_temp\n",
            f"{ZONES}/thermal_zone1/temp": "51500\n",
            f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "1800000\n",
            f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq": "2400000\n",
            f"{CPU}/cpu0/cpufreq/scaling_governor": "schedutil\n",
            f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "3\n",
            f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "4\n",
            "proc/loadavg": "0.52 0.58 0.59 1/389 12345\n",
            "proc/meminfo": "MemTotal:  8000 kB\nMemAvailable:    4096 kB\n",
        },
    )
    state = read_host(tmp_path)
    assert state == HostState(51.5, 1_800_000_000, 2_400_000_000, "schedutil", None, 7, 0.52, 4096 * 1024)
    assert readings(state) == {
        "temperature_c": 51.5,
        "cpu_clock_hz": 1.8e9,
        "load_1m": 0.52,
        "memory_available_bytes": 4194304.0,
    }


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    state = read_host(tmp_path)
    assert state == HostState()
    assert readings(state) == {}
    assert conditions_between(state, state) == Conditions()


def test_an_unnamed_zone_is_better_than_none_and_nonsense_is_not(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            f"{ZONES}/thermal_zone0/type": "bigcore0-thermal",
            f"{ZONES}/thermal_zone0/temp": "47111",
            f"{ZONES}/thermal_zone1/type": "wifi",
            f"{ZONES}/thermal_zone1/temp": "-274000",
            f"{ZONES}/thermal_zone2/temp": "broken",
            f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "<unknown>",
            "proc/loadavg": "",
            "proc/meminfo": "MemAvailable: lots kB\n",
        },
    )
    assert read_host(tmp_path) == HostState(temperature_c=47.111)


@pytest.mark.parametrize(("bits", "throttled"), [("0", False), ("50000", False), ("4", True), ("e0008", True)])
def test_a_pi_says_whether_it_is_throttled_now(tmp_path: Path, bits: str, throttled: bool) -> None:
    write(tmp_path, {PI: f"{bits}\n"})
    assert read_host(tmp_path).throttled_now is throttled


def test_conditions_of_a_run_are_the_worst_of_before_and_after() -> None:
    before = HostState(50.0, 1_800, 2_400, "performance", None, 7, 0.5)
    after = HostState(61.0, 1_200, 2_400, "performance", None, 8, 3.5)
    assert conditions_between(before, after) == Conditions(61.0, 1200, 2400, "performance", True, 0.5)
    assert conditions_between(after, after).throttled is False
    assert conditions_between(HostState(throttled_now=True), HostState(throttled_now=False)).throttled is True
    assert conditions_between(HostState(throttled_now=False), HostState()).throttled is False


def test_this_machine_can_be_read() -> None:
    state = read_host()
    assert state.load_1m is not None
    assert state.memory_available_bytes is not None
    assert state.memory_available_bytes > 0

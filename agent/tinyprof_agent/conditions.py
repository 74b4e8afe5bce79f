"""The state of this machine, from /sys and /proc; whatever cannot be read is None.

Sources: Linux, Documentation/ABI/testing/sysfs-class-thermal, admin-guide/pm/cpufreq.rst and proc(5); the Raspberry
Pi's firmware tells of throttling in `get_throttled`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from tinyprof_protocol.records import Conditions, Readings

MAX_FILE_BYTES: Final = 64 * 1024
MAX_ZONES: Final = 64
MAX_CPUS: Final = 1024

Number = TypeVar("Number", int, float, bool)

_CPUS: Final = "sys/devices/system/cpu"
_PI_THROTTLED: Final = "sys/devices/platform/soc/soc:firmware/get_throttled"
_PI_THROTTLED_NOW: Final = 0b1110
"""Bits 1 to 3: frequency capped, throttled, soft temperature limit; bit 0 is the supply's voltage."""
_PROCESSOR_ZONES: Final = ("x86_pkg_temp", "cpu", "soc", "k10temp", "coretemp", "acpitz")


@dataclass(frozen=True, slots=True)
class HostState:
    """One reading. `throttle_events` is a count since boot, to be compared between two readings."""

    temperature_c: float | None = None
    cpu_clock_hz: int | None = None
    cpu_clock_max_hz: int | None = None
    governor: str | None = None
    throttled_now: bool | None = None
    throttle_events: int | None = None
    load_1m: float | None = None
    memory_available_bytes: int | None = None


def read_host(root: Path = Path("/")) -> HostState:
    """Reads the machine whose /sys and /proc lie under `root`."""
    cpufreq = root / _CPUS / "cpu0" / "cpufreq"
    current_khz, max_khz = _number(cpufreq / "scaling_cur_freq"), _number(cpufreq / "cpuinfo_max_freq")
    governor = _text(cpufreq / "scaling_governor")
    load = (_text(root / "proc/loadavg") or "").split()
    pi_throttled = _number(root / _PI_THROTTLED, base=16)
    return HostState(
        temperature_c=_temperature_c(root / "sys/class/thermal"),
        cpu_clock_hz=None if current_khz is None else current_khz * 1000,
        cpu_clock_max_hz=None if max_khz is None else max_khz * 1000,
        governor=governor[:64] if governor else None,
        throttled_now=None if pi_throttled is None else bool(pi_throttled & _PI_THROTTLED_NOW),
        throttle_events=_throttle_events(root / _CPUS),
        load_1m=_float(load[0]) if load else None,
        memory_available_bytes=_memory_available_bytes(root / "proc/meminfo"),
    )


def conditions_between(before: HostState, after: HostState) -> Conditions:
    """The conditions of a run from readings before and after it.

    The temperature is the higher one, the clock the lower one, the load that of before, which the run had no part in.
    """
    return Conditions(
        temperature_c=max(_known(before.temperature_c, after.temperature_c), default=None),
        cpu_clock_hz=min(_known(before.cpu_clock_hz, after.cpu_clock_hz), default=None),
        cpu_clock_max_hz=after.cpu_clock_max_hz,
        governor=after.governor,
        throttled=_throttled(before, after),
        load_1m=before.load_1m,
    )


def readings(state: HostState) -> Readings:
    """The readings of a sample, by metric; what could not be read is left out."""
    values = {
        "temperature_c": state.temperature_c,
        "cpu_clock_hz": state.cpu_clock_hz,
        "load_1m": state.load_1m,
        "memory_available_bytes": state.memory_available_bytes,
    }
    return {name: float(value) for name, value in values.items() if value is not None}


def _throttled(before: HostState, after: HostState) -> bool | None:
    seen = _known(before.throttled_now, after.throttled_now)
    if before.throttle_events is not None and after.throttle_events is not None:
        seen.append(after.throttle_events > before.throttle_events)
    return any(seen) if seen else None


def _known(*values: Number | None) -> list[Number]:
    return [value for value in values if value is not None]


def _temperature_c(thermal: Path) -> float | None:
    """The processor's zone where one is named so, else the hottest of all."""
    zones: dict[str, float] = {}
    for zone in _entries(thermal, "thermal_zone*", MAX_ZONES):
        value = _number(zone / "temp")
        kind = (_text(zone / "type") or "").lower()
        if value is not None and -60_000 < value < 200_000:
            zones[kind] = max(zones.get(kind, -1e9), value / 1000)
    for name in _PROCESSOR_ZONES:
        named = [temperature for kind, temperature in zones.items() if name in kind]
        if named:
            return max(named)
    return max(zones.values(), default=None)


def _throttle_events(cpus: Path) -> int | None:
    names = ("core_throttle_count", "package_throttle_count")
    counts = [
        _number(cpu / "thermal_throttle" / name) for cpu in _entries(cpus, "cpu[0-9]*", MAX_CPUS) for name in names
    ]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _memory_available_bytes(meminfo: Path) -> int | None:
    for line in (_text(meminfo) or "").splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "MemAvailable:" and words[1].isdecimal():
            return int(words[1]) * 1024
    return None


def _entries(folder: Path, pattern: str, at_most: int) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))[:at_most]
    except OSError:
        return []


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES).decode("utf-8", "replace").strip()
    except OSError:
        return None


def _number(path: Path, base: int = 10) -> int | None:
    try:
        return int(_text(path) or "", base)
    except ValueError:
        return None


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None

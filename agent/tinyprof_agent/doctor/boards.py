"""Whether each board answers: its port is there, may be opened, is nobody else's, and the board says who it is."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from tinyprof_agent.boards import BadBoard, BoardConfig, make_driver
from tinyprof_agent.doctor.findings import Finding
from tinyprof_agent.drivers.driver import BoardError, BoardInfo


def check_board(board: BoardConfig, *, agent_runs: bool, clock: Callable[[], int] = time.monotonic_ns) -> Finding:
    """Opens the board and asks who it is, unless an agent runs, whose board it is."""
    what = f"board {board.name}"
    try:
        driver = make_driver(board, clock)
    except BadBoard as why:
        return Finding(what, "failed", str(why))
    if not board.enabled:
        return Finding(what, "skipped", "it is disabled in the configuration")
    port = port_finding(what, str(board.options.get("port", "")))
    if port is not None and port.state == "failed":
        return port
    if agent_runs:
        return Finding(what, "skipped", "an agent runs and may be measuring on it")
    try:
        return Finding(what, "ok", _described(driver.open()))
    except BoardError as why:
        return Finding(what, "failed", str(why))
    finally:
        driver.close()


def _may_open(port: str) -> bool:
    return os.access(port, os.R_OK | os.W_OK)


def port_finding(what: str, port: str, may_open: Callable[[str], bool] = _may_open) -> Finding | None:
    """What is wrong with a serial port that can be told without opening it; None where nothing is, or none is named."""
    if not port or "://" in port:
        return None
    if not Path(port).exists():
        return Finding(
            what, "failed", f"there is no port {port}: is the board plugged in? 'tinyprof agent init' lists ports"
        )
    if not may_open(port):
        group = _group_of(port)
        line = f"no permission to open {port}: sudo usermod -aG {group} $USER, then log in again"
        return Finding(what, "failed", line)
    return None


def _group_of(port: str) -> str:
    try:
        return Path(port).group()
    except (KeyError, OSError):
        return "dialout"


def _described(info: BoardInfo) -> str:
    build = info.build
    words = [build.platform, build.model, build.quantisation, f"{build.firmware} {build.firmware_build}".strip()]
    number = f", serial number {info.identity}" if info.identity else ""
    return f"it answers: {', '.join(word for word in words if word)}{number}"

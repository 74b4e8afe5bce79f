"""What an agent's status tells of a board, and for how long its word on what runs there is good. Pure."""

from typing import Final

from tinyprof_agent.board_session import BoardSession
from tinyprof_agent.boards import BoardConfig
from tinyprof_agent.drivers.driver import BoardInfo
from tinyprof_protocol.fingerprints import build_fingerprint, clock_mode
from tinyprof_protocol.presence import BoardPresence, BoardState
from tinyprof_protocol.records import Build

VOUCHED_FOR_S: Final = 120.0
"""A board on a line may be flashed anew while nobody speaks with it: after so long its build is not vouched for."""


def vouched_for(info: BoardInfo | None, silent_s: float) -> BoardInfo | None:
    """What a board is that answered `silent_s` seconds ago, where that is certain now: it is open, and no other
    firmware can be on it meanwhile.
    """
    if info is None or info.host_clock or info.emulation is not None:
        return info
    return info if silent_s <= VOUCHED_FOR_S else None


def presence_of(
    config: BoardConfig,
    session: BoardSession,
    *,
    last_build: Build | None,
    vouched: BoardInfo | None,
    governor: str | None,
    running: bool,
) -> BoardPresence:
    """The board as it is now. `last_build` is what it was when it was opened last."""
    build, circuit = last_build, session.circuit
    # Between its runs an emulator stands still: it gives no samples.
    sample_every_s = 0.0 if build is not None and build.emulated else config.sample_every_s
    intervals = [s for s in (config.every_s, sample_every_s) if s > 0]
    return BoardPresence(
        board=config.name,
        driver=config.driver,
        state=_state_of(config, session, running=running),
        platform=build.platform if build else "",
        model=build.model if build else "",
        emulated=build is not None and build.emulated,
        interval_s=min(intervals, default=0.0),
        failures=circuit.failures,
        message=session.message,
        labels=config.labels,
        build=build_fingerprint(vouched.build) if vouched else "",
        clock_mode=clock_mode(vouched.tick_hz, governor) if vouched else "",
    )


def _state_of(config: BoardConfig, session: BoardSession, *, running: bool) -> BoardState:
    circuit = session.circuit
    if not config.enabled:
        return "disabled"
    if running:
        return "running"
    if circuit.failures:
        return "open" if circuit.open else "retrying"
    return "idle" if session.connected else "starting"

"""A board over time: connected or lost, its circuit, and the events that tell of changes.

An event is a change of state. Failures that repeat what is known already are counted and give none.
"""

import logging
from collections.abc import Callable
from random import Random
from typing import Final, Literal

from tinyprof_agent.breaker import BreakerPolicy, Circuit, after_failure, after_success
from tinyprof_agent.drivers.driver import BoardError, BoardInfo, Driver, RoundTrip
from tinyprof_protocol.records import Event, Level

HANGS: Final = frozenset({"timeout", "silent"})
"""Codes of a board that is there and does not answer: it is reset."""
KEEPS_BOARD: Final = frozenset({"refused"})
"""Codes that speak of the request and not of the board."""
LOSES_BOARD: Final = frozenset({"gone", "lost", "busy"})
MAX_LINE: Final = 300

_LOG_LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.ERROR}
Doing = Literal["open", "run", "sample"]
_log = logging.getLogger(__name__)


class BoardSession:
    """One board's driver and what is known of the board. Used by one thread; others may read its attributes.

    `needs_run` says that the board runs by a schedule: then, after a run has failed, only a run that succeeds shows
    that the board is well again; else that it can be opened is enough.
    """

    def __init__(
        self,
        board: str,
        driver: Driver,
        *,
        needs_run: bool,
        clock_ns: Callable[[], int],
        rng: Random,
        policy: BreakerPolicy,
    ) -> None:
        self.info: BoardInfo | None = None
        self.circuit = Circuit()
        self.message = ""
        self._board = board
        self._driver = driver
        self._needs_run = needs_run
        self._clock_ns = clock_ns
        self._rng = rng
        self._policy = policy
        self._events: list[Event] = []
        self._said_connected: bool | None = None
        self._said_of_streak: set[tuple[str, str]] = set()
        self._failed_doing: Doing = "open"

    @property
    def connected(self) -> bool:
        """Whether the board is open."""
        return self.info is not None

    def may_try(self) -> bool:
        """Whether its circuit lets the board be used now."""
        return self.circuit.may_try(self._clock_ns() / 1e9)

    def take_events(self) -> list[Event]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    def open(self) -> None:
        """Opens the board, or counts a failure."""
        try:
            self.info = self._driver.open()
        except BoardError as why:
            self.failed("open", why)
            return
        if not self._said_connected:
            self._said_connected = True
            build = self.info.build
            self._event("board_connected", "info", f"{build.platform}, {build.model} {build.quantisation}")
        if self._failed_doing != "run" or not self._needs_run:
            self.succeeded()

    def round_trip(self) -> RoundTrip | None:
        """One exchange with the board; None, and a failure counted, where there is no answer."""
        try:
            return self._driver.round_trip()
        except BoardError as why:
            self.failed("sample", why)
            return None

    def succeeded(self) -> None:
        """The board has done what it was asked."""
        was_open, self.circuit, self.message = self.circuit.open, after_success(), ""
        self._said_of_streak.clear()
        self._failed_doing = "open"
        if was_open:
            self._event("circuit_closed", "info", "the board works again")

    def failed(self, doing: Doing, why: BoardError, run_id: bytes | None = None) -> None:
        """Counts a failure, resets a board that hangs, and lets go of it until its next trial."""
        if doing == "run":
            self._event_once("run_failed", "warning", f"{why.code}: {why}", why.code, run_id)
        if why.code in KEEPS_BOARD and doing == "run":
            return
        self.message = f"{why.code}: {why}"[:MAX_LINE]
        self._failed_doing = doing
        self._reset(why, run_id)
        self.close()
        if (doing != "run" or why.code in LOSES_BOARD) and self._said_connected is not False:
            self._said_connected = False
            self._event("board_lost", "warning", f"{why.code}: {why}")
        was_open = self.circuit.open
        self.circuit = after_failure(self.circuit, self._clock_ns() / 1e9, self._policy, self._rng)
        if self.circuit.open and not was_open:
            line = f"{self.circuit.failures} failures in a row, the last one {why.code}: {why}"
            self._event("circuit_open", "critical", line)

    def aborted(self, why: str, run_id: bytes) -> None:
        """A run took too long by its job's word, which is no fault of the board's: it is reset and opened anew."""
        self._reset(BoardError("timeout", why), run_id)
        self.close()

    def close(self) -> None:
        """Lets go of the board."""
        self.info = None
        try:
            self._driver.close()
        except Exception:  # noqa: BLE001 - closing must never end the board's thread
            _log.exception("board %s: its driver did not close", self._board)

    def _reset(self, why: BoardError, run_id: bytes | None) -> None:
        if why.code == "reset":
            self._event_once("board_reset", "warning", f"the board reset itself: {why}", why.code, run_id)
        if why.code not in HANGS:
            return
        try:
            self._driver.reset()
        except BoardError as failed:
            line = f"{why.code}, and its reset failed: {failed}"
            self._event_once("reset_failed", "warning", line, failed.code, run_id)
            return
        self._event_once("board_reset", "warning", f"reset because of {why.code}: {why}", why.code, run_id)

    def _event_once(self, name: str, level: Level, message: str, code: str, run_id: bytes | None) -> None:
        if (name, code) not in self._said_of_streak:
            self._said_of_streak.add((name, code))
            self._event(name, level, message, run_id)

    def _event(self, name: str, level: Level, message: str, run_id: bytes | None = None) -> None:
        _log.log(_LOG_LEVELS[level], "board %s: %s: %s", self._board, name, message)
        self._events.append(Event(name, level, message[:MAX_LINE], board=self._board, run_id=run_id))

"""What the command line calls: the dashboard on a terminal, once as text or JSON, or as a picture."""

import contextlib
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from tinyprof_dashboard.asking import ask_parts, live_collectors
from tinyprof_dashboard.columns import Moment
from tinyprof_dashboard.events import Source
from tinyprof_dashboard.feed import MqttSource
from tinyprof_dashboard.listing import as_json as json_of
from tinyprof_dashboard.listing import plain_table
from tinyprof_dashboard.snapshot import Snapshot, reduce
from tinyprof_protocol.broker_address import ENVIRONMENT_VARIABLE, BrokerAddress

POLL_S = 0.05
ATTEMPTS = 2
PICTURE_SIZE = (150, 40)


class Unreachable(RuntimeError):
    """There is no broker at the address; the message says what to do."""


ScreenName = Literal["fleet", "pipeline"]


def run(
    address: BrokerAddress,
    *,
    once: bool,
    as_json: bool,
    screenshot: Path | None,
    timeout_s: float,
    screen: ScreenName = "fleet",
) -> int:
    """The dashboard of the fleet behind a broker; returns the exit code.

    With `once` or `as_json` it prints the fleet when the broker's memory has been read, with `screenshot` it writes
    an SVG; both wait at most `timeout_s` seconds. `screen` is the one that is shown first. 0 is success, 1 an
    unreachable broker or a picture that could not be written, 2 no terminal.
    """
    source = MqttSource(address, wall_ns=time.time_ns, steady_s=time.monotonic)
    with _own_logs():
        try:
            if screenshot is not None:
                return _pictured(source, screenshot, timeout_s, screen)
            if once or as_json:
                moment = read_once(
                    source, timeout_s, wall_ns=time.time_ns, steady_s=time.monotonic, with_ledger=screen == "pipeline"
                )
                print(_told(moment, source.name, screen, as_json=as_json))
            else:
                return _interactive(source, screen)
        except Unreachable as why:
            print(f"tinyprof: {why}", file=sys.stderr)
            return 1
    return 0


def _pictured(source: Source, file: Path, timeout_s: float, screen: ScreenName) -> int:
    """Writes the picture; the exit code. Raises Unreachable."""
    try:
        picture(source, file, timeout_s, screen)
    except OSError as why:
        print(f"tinyprof: the picture cannot be written: {why}", file=sys.stderr)
        return 1
    return 0


def _told(moment: Moment, broker: str, screen: ScreenName, *, as_json: bool) -> str:
    from tinyprof_dashboard.pipeline.listing import pipeline_json, plain_pipeline

    if as_json:
        extra = {"pipeline": pipeline_json(moment)} if screen == "pipeline" else {}
        return json.dumps({**json_of(moment, broker), **extra})
    return plain_pipeline(moment) if screen == "pipeline" else plain_table(moment, broker)


def read_once(
    source: Source,
    timeout_s: float,
    *,
    wall_ns: Callable[[], int],
    steady_s: Callable[[], float],
    with_ledger: bool = False,
) -> Moment:
    """The fleet once the broker's memory has been read, or as far as it came in `timeout_s`. Raises Unreachable.

    `with_ledger` also waits for what each live collector says of its ledger.
    """
    woken = threading.Event()
    snapshot = Snapshot()
    deadline = steady_s() + timeout_s
    source.start(woken.set)
    try:
        while not snapshot.complete or (with_ledger and _waits_for_ledgers(snapshot)):
            snapshot = reduce(snapshot, source.drain(), wall_ns())
            if with_ledger and snapshot.complete and not snapshot.ledgers:
                asked = ask_parts(source, "ledgers", live_collectors(snapshot))
                snapshot = reduce(snapshot, asked, wall_ns())
            if steady_s() >= deadline:
                break
            _check(snapshot, source, last=False)
            woken.wait(POLL_S)
            woken.clear()
    finally:
        source.stop()
    _check(snapshot, source, last=True)
    return Moment(snapshot, wall_ns())


def _waits_for_ledgers(snapshot: Snapshot) -> bool:
    """Whether a live collector was not asked yet, or has not answered."""
    parts = snapshot.ledgers
    return any(name not in parts or parts[name].waiting for name in live_collectors(snapshot))


def _check(snapshot: Snapshot, source: Source, *, last: bool) -> None:
    link = snapshot.link
    if link.connected or snapshot.complete:
        return
    if last or (link.error and link.attempts >= ATTEMPTS):
        why = link.error or f"no answer from {source.name} in time"
        raise Unreachable(f"{why}; start a broker there, or name another with --broker or {ENVIRONMENT_VARIABLE}")


def picture(source: Source, path: Path, timeout_s: float, screen: ScreenName = "fleet") -> None:
    """Draws the dashboard without a terminal and writes it as SVG. Raises Unreachable, OSError."""
    from textual.pilot import Pilot

    from tinyprof_dashboard.app import Dashboard

    app = Dashboard(source, wall_ns=time.time_ns, steady_s=time.monotonic, tick_s=POLL_S, pipeline=screen == "pipeline")
    drawn: list[str] = []

    async def wait_and_draw(pilot: Pilot[Any]) -> None:
        deadline = time.monotonic() + timeout_s
        while not app.snapshot.complete and time.monotonic() < deadline and app.snapshot.link.attempts < ATTEMPTS:
            await pilot.pause(POLL_S)
        while screen == "pipeline" and _waits_for_ledgers(app.snapshot) and time.monotonic() < deadline:
            await pilot.pause(POLL_S)
        await pilot.pause()
        if app.snapshot.complete:
            drawn.append(app.export_screenshot(title="tinyprof dashboard"))
        app.exit()

    app.run(headless=True, size=PICTURE_SIZE, auto_pilot=wait_and_draw)
    if not drawn:
        _check(app.snapshot, source, last=True)
        raise Unreachable(f"{source.name} did not hand over what it remembers within {timeout_s:g}s")
    path.write_text(drawn[0], encoding="utf-8")


def _interactive(source: Source, screen: ScreenName) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print(
            "tinyprof: the dashboard needs a terminal: use --once, --json or --screenshot without one", file=sys.stderr
        )
        return 2
    from tinyprof_dashboard.app import Dashboard

    app = Dashboard(source, wall_ns=time.time_ns, steady_s=time.monotonic, pipeline=screen == "pipeline")
    app.run()
    return app.return_code or 0


@contextlib.contextmanager
def _own_logs() -> Iterator[None]:
    """The screen tells what the connection logs; its lines must not be written across it."""
    logger = logging.getLogger("tinyprof_protocol")
    silent = logging.NullHandler()
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(silent)
    try:
        yield
    finally:
        logger.removeHandler(silent)
        logger.propagate = propagated

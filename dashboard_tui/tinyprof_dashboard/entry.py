"""What the command line calls: the dashboard on a terminal, once as text or JSON, or as a picture."""

import contextlib
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tinyprof_dashboard.asking import PARTS_OF, ScreenName, ask_parts, live_collectors, waits_for_parts
from tinyprof_dashboard.columns import Moment
from tinyprof_dashboard.events import Parts, Source
from tinyprof_dashboard.feed import MqttSource
from tinyprof_dashboard.listing import as_json as json_of
from tinyprof_dashboard.listing import plain_table
from tinyprof_dashboard.snapshot import Snapshot, reduce
from tinyprof_protocol.broker_address import ENVIRONMENT_VARIABLE, BrokerAddress
from tinyprof_protocol.counts_text import some

POLL_S = 0.05
ATTEMPTS = 2
PICTURE_SIZE = (150, 40)


class Unreachable(RuntimeError):
    """There is no broker at the address; the message says what to do."""


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
                return _pictured(source, screenshot, timeout_s, screen, as_json=as_json)
            if once or as_json:
                what = PARTS_OF.get(screen)
                moment = read_once(source, timeout_s, wall_ns=time.time_ns, steady_s=time.monotonic, what=what)
                print(_told(moment, source.name, screen, as_json=as_json))
            else:
                return _interactive(source, screen)
        except Unreachable as why:
            print(f"tinyprof: {why}", file=sys.stderr)
            return 1
    return 0


def _pictured(source: Source, file: Path, timeout_s: float, screen: ScreenName, *, as_json: bool) -> int:
    """Writes the picture, and says so; the exit code. Raises Unreachable."""
    try:
        boards = picture(source, file, timeout_s, screen)
    except OSError as why:
        print(f"tinyprof: the picture cannot be written: {why}", file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps({"output": str(file), "screen": screen, "boards": boards}))
    else:
        print(f"the screen {screen!r}, of {some(boards, 'board')}, is in {file}", file=sys.stderr)
    return 0


def _told(moment: Moment, broker: str, screen: ScreenName, *, as_json: bool) -> str:
    from tinyprof_dashboard.jobs.listing import jobs_json, plain_jobs
    from tinyprof_dashboard.pipeline.listing import pipeline_json, plain_pipeline

    if as_json:
        more: dict[ScreenName, tuple[str, Callable[[Moment], Any]]] = {
            "pipeline": ("pipeline", pipeline_json),
            "jobs": ("jobs_listed", jobs_json),
        }
        extra = {key: made(moment) for name, (key, made) in more.items() if name == screen}
        return json.dumps({**json_of(moment, broker), **extra})
    if screen == "fleet":
        return plain_table(moment, broker)
    return plain_pipeline(moment) if screen == "pipeline" else plain_jobs(moment)


def read_once(
    source: Source,
    timeout_s: float,
    *,
    wall_ns: Callable[[], int],
    steady_s: Callable[[], float],
    what: Parts | None = None,
) -> Moment:
    """The fleet once the broker's memory has been read, or as far as it came in `timeout_s`. Raises Unreachable.

    With `what` it also waits for each live collector's part of it.
    """
    woken = threading.Event()
    snapshot = Snapshot()
    deadline = steady_s() + timeout_s
    source.start(woken.set)
    try:
        asked = False
        while not snapshot.complete or (what is not None and waits_for_parts(snapshot, what)):
            snapshot = reduce(snapshot, source.drain(), wall_ns())
            if what is not None and snapshot.complete and not asked:
                asked = True
                snapshot = reduce(snapshot, ask_parts(source, what, live_collectors(snapshot)), wall_ns())
            if steady_s() >= deadline:
                break
            _check(snapshot, source, last=False)
            woken.wait(POLL_S)
            woken.clear()
    finally:
        source.stop()
    _check(snapshot, source, last=True)
    return Moment(snapshot, wall_ns())


def _check(snapshot: Snapshot, source: Source, *, last: bool) -> None:
    link = snapshot.link
    if link.connected or snapshot.complete:
        return
    if last or (link.error and link.attempts >= ATTEMPTS):
        why = link.error or f"no answer from {source.name} in time"
        raise Unreachable(f"{why}; start a broker there, or name another with --broker or {ENVIRONMENT_VARIABLE}")


def picture(source: Source, path: Path, timeout_s: float, screen: ScreenName = "fleet") -> int:
    """Draws the dashboard without a terminal and writes it as SVG; how many boards the fleet has.

    Raises Unreachable, OSError.
    """
    from textual.pilot import Pilot

    from tinyprof_dashboard.app import Dashboard

    app = Dashboard(source, wall_ns=time.time_ns, steady_s=time.monotonic, tick_s=POLL_S, screen=screen)
    drawn: list[str] = []

    async def wait_and_draw(pilot: Pilot[Any]) -> None:
        deadline = time.monotonic() + timeout_s
        while not app.snapshot.complete and time.monotonic() < deadline and app.snapshot.link.attempts < ATTEMPTS:
            await pilot.pause(POLL_S)
        what = PARTS_OF.get(screen)
        while what is not None and waits_for_parts(app.snapshot, what) and time.monotonic() < deadline:
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
    return len(app.snapshot.rows)


def _interactive(source: Source, screen: ScreenName) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print(
            "tinyprof: the dashboard needs a terminal: use --once, --json or --screenshot without one", file=sys.stderr
        )
        return 2
    from tinyprof_dashboard.app import Dashboard

    app = Dashboard(source, wall_ns=time.time_ns, steady_s=time.monotonic, screen=screen)
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

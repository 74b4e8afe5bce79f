"""`tinyprof demo`: everything on this machine, from board to screen."""

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from tinyprof.options import json_option, to_seconds
from tinyprof.terminal import CheckFailed, ProgressLine, WrongUse, emit_json

if TYPE_CHECKING:
    from tinyprof.demo.plan import DemoBoard
    from tinyprof.demo.running import Demo

DEFAULT_S = 30.0
SUMMARY_EVERY_S = 3.0
_POLL_S = 0.2


@click.command("demo")
@click.option("--for", "for_s", callback=to_seconds, metavar="DURATION",
              help="Run for so long without the dashboard.  [default without a terminal: 30s]")  # fmt: skip
@click.option("--boards", metavar="LIST", help="Which, with commas: host, soft-q8, soft-q4, soft-f32, folders of "
              "firmware/targets.  [default: host, soft-q8, soft-q4 and every emulator that is here]")  # fmt: skip
@click.option("--state-dir", type=click.Path(file_okay=False, path_type=Path),
              help="Where state and logs lie, and stay.  [default: a temporary directory]")  # fmt: skip
@json_option
def command(for_s: float | None, boards: str | None, state_dir: Path | None, as_json: bool) -> int:
    """Runs everything on this machine.

    Broker, collector, agent and boards; with the dashboard in front on a terminal, otherwise for a while with a
    summary. The last line of --json is one object, every figure counted where it happens. Exit 0 if the ledger adds
    up. Nothing but loopback is used, and nothing is left behind.
    """
    with_dashboard = sys.stdout.isatty() and not as_json and for_s is None
    _check_packages(with_dashboard)
    with _terminated_as_interrupted():
        chosen = _chosen(boards)
        if state_dir is not None:
            state_dir.mkdir(parents=True, exist_ok=True)
            return _run(chosen, state_dir.resolve(), with_dashboard, for_s, as_json, folder_stays=True)
        with tempfile.TemporaryDirectory(prefix="tinyprof-demo-") as folder:
            return _run(chosen, Path(folder), with_dashboard, for_s, as_json, folder_stays=False)


def _chosen(asked: str | None) -> "list[DemoBoard]":
    """The boards asked for, else the usual ones and every emulator that is here. Their firmware is built."""
    from tinyprof.demo import emulators
    from tinyprof.demo.plan import BOARDS, DEFAULT_BOARDS, UnknownDemoBoard, emulated, parse_boards

    try:
        targets = emulators.emulated_targets()
        names = parse_boards(asked or ",".join([DEFAULT_BOARDS, *targets]), targets)
    except (UnknownDemoBoard, emulators.TargetError) as why:
        raise WrongUse(str(why)) from None
    with ProgressLine() as line:
        found = emulators.survey(
            [targets[name] for name in names if name in targets],
            lambda name: line.show(f"demo: building the firmware of {name}"),
        )
    if found.missing and asked is not None:
        raise CheckFailed("; ".join(found.lines()))
    for missing in found.lines() if targets or asked else [emulators.NO_FIRMWARE]:
        click.echo(f"demo: {missing}", err=True)
    ready = {target.name: emulated(target.name, target.folder) for target in found.ready}
    boards = BOARDS | ready
    return [boards[name] for name in names if name in boards]


def _run(
    boards: "list[DemoBoard]",
    folder: Path,
    with_dashboard: bool,
    for_s: float | None,
    as_json: bool,
    *,
    folder_stays: bool,
) -> int:
    from tinyprof.demo.figures import summary
    from tinyprof.demo.running import Demo
    from tinyprof.demo.why_unstable import closing_line

    def say(line: str) -> None:
        click.echo(f"demo: {line}", err=True)

    def tell(line: str) -> None:
        click.echo(f"demo: {line}", err=as_json)

    interrupted = False
    with Demo(boards, folder, say, folder_stays=folder_stays) as demo:
        try:
            _show(demo) if with_dashboard else _watch(demo, for_s or DEFAULT_S, tell)
        except KeyboardInterrupt:
            interrupted = True
        found = demo.finish()
        why_unstable = closing_line(demo.unstable)
    if as_json:
        emit_json({name: getattr(found, name) for name in found.__dataclass_fields__})
    else:
        tell(f"{summary(found, final=True)}; the ledger {'adds up' if found.ledger_ok else 'DOES NOT ADD UP'}")
    if why_unstable is not None:
        say(why_unstable)
    if interrupted:
        return 130
    return 0 if found.ledger_ok else 1


def _watch(demo: "Demo", for_s: float, tell: Callable[[str], None]) -> None:
    from tinyprof.demo.figures import summary

    started = last = time.monotonic()
    while (now := time.monotonic()) - started < for_s:
        demo.check()
        if now - last >= SUMMARY_EVERY_S:
            last = now
            found = demo.figures_now()
            tell(f"{now - started:.0f} s: {'the collector does not answer' if found is None else summary(found)}")
        time.sleep(min(_POLL_S, max(0.0, for_s - (now - started))))


def _show(demo: "Demo") -> None:
    from tinyprof_dashboard.entry import run

    run(demo.address, once=False, as_json=False, screenshot=None, timeout_s=5.0)


def _check_packages(with_dashboard: bool) -> None:
    from tinyprof.demo.running import missing_packages

    missing = missing_packages(dashboard=with_dashboard)
    if missing:
        raise CheckFailed(f"the demo needs {', '.join(missing)}: pip install 'tinyprof[all]'")


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM, and the terminal's going, end the demo as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""How quick the dashboard is with 10,000 boards, beside Textual's own DataTable and an empty application.

    python benchmarks/dashboard.py [--boards 10000] [--json]

Each application runs in a process of its own on a pseudo-terminal of 150 by 40, with Textual's real driver, so that
what is written to the terminal is paid for too. `start-up` is wall time from the start of the process to the first
paint, the median of five. All else is CPU time of that process (all threads) until the screen has been painted, the
median of several; time spent waiting for the next frame is no work. The fleet is made up.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import pty
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZE = (150, 40)
ROUNDS = 25
START_ROUNDS = 5
CHILD_TIMEOUT_S = 180
TARGETS_MS = {"repaint": 20.0, "filter": 100.0, "start-up": 1000.0}
Measured = dict[str, float]


# ---- in the child


async def cpu_ms(app: Any, act: Callable[[], Any]) -> float:
    """CPU time of `act` and of the paint that follows."""
    painted = asyncio.Event()
    started = time.process_time()
    act()
    app.screen.call_after_refresh(painted.set)
    await painted.wait()
    return (time.process_time() - started) * 1e3


async def median_ms(app: Any, acts: list[Callable[[], Any]]) -> float:
    """The median over several acts."""
    return statistics.median([await cpu_ms(app, act) for act in acts])


def child_dashboard(boards: int, started: float, script: bool) -> Measured:
    """Our own table, through the reducer and the screen."""
    from tinyprof_dashboard import entry  # noqa: F401  (the real program imports it: its cost is part of the start)
    from tinyprof_dashboard import example_fleet as example
    from tinyprof_dashboard.app import Dashboard
    from tinyprof_dashboard.events import BoardSeen, LinkChanged

    source = example.ExampleSource([LinkChanged(True)])
    app = Dashboard(source, wall_ns=lambda: example.NOW_NS, steady_s=time.monotonic, tick_s=3600)
    measured: Measured = {}

    async def measure(_pilot: Any) -> None:
        await first_paint(app, measured, started)
        if script:
            events = example.many(boards)
            one = [BoardSeen(example.board("site000.agent0000", "host-00000", kind=0, seed=i)) for i in range(ROUNDS)]
            measured["load"] = await cpu_ms(app, lambda: app.take(events))
            screen, grid = app.fleet, app.fleet.grid
            await cpu_ms(app, grid.refresh)
            measured["repaint"] = await median_ms(app, [grid.refresh] * ROUNDS)
            measured["one board changed"] = await median_ms(app, [lambda e=e: app.take([e]) for e in one])
            measured["one page down"] = await median_ms(app, [lambda: grid.action_page(1)] * ROUNDS)
            from tinyprof_dashboard.selection import with_query

            def filtered(text: str) -> Callable[[], None]:
                return lambda: screen.change(with_query(screen.view, text))

            texts = ["s", "si", "site", "site0", "site00", "site003", "decode<50", "decode<50 state:critical"]
            measured["filter"] = await median_ms(app, [filtered(text) for text in texts * 3])
            measured["filter cleared"] = await cpu_ms(app, filtered(""))
            measured["sort"] = await median_ms(app, [lambda: screen.action_sort(1)] * 12)
        app.exit()

    app.run(size=SIZE, auto_pilot=measure)
    return measured


def child_datatable(boards: int, started: float, script: bool) -> Measured:
    """Textual's DataTable with the same texts."""
    from textual.app import App, ComposeResult
    from textual.widgets import DataTable

    from tinyprof_dashboard.columns import COLUMNS

    class Plain(App[None]):
        def compose(self) -> ComposeResult:
            yield DataTable(cursor_type="row")

        def on_mount(self) -> None:
            self.query_one(DataTable).add_columns(*[(column.title, column.name) for column in COLUMNS])

    app = Plain()
    measured: Measured = {}

    async def measure(_pilot: Any) -> None:
        await first_paint(app, measured, started)
        if script:
            await script_datatable(app, app.query_one(DataTable), boards, measured)
        app.exit()

    app.run(size=SIZE, auto_pilot=measure)
    return measured


async def script_datatable(app: Any, table: Any, boards: int, measured: Measured) -> None:
    """The same acts on Textual's table."""
    from tinyprof_dashboard import example_fleet as example
    from tinyprof_dashboard.columns import COLUMNS, Moment
    from tinyprof_dashboard.snapshot import Snapshot, reduce

    moment = Moment(reduce(Snapshot(), example.many(boards), example.NOW_NS), example.NOW_NS)
    rows = list(moment.snapshot.rows.values())
    texts = {"/".join(row.key): [column.cell(row, moment).text for column in COLUMNS] for row in rows}

    def fill(word: str) -> None:
        table.clear()
        for key, cells in texts.items():
            if word in key:
                table.add_row(*cells, key=key)

    first = next(iter(texts))
    measured["load"] = await cpu_ms(app, lambda: fill(""))
    measured["repaint"] = await median_ms(app, [table.refresh] * ROUNDS)
    changes = [lambda i=i: table.update_cell(first, "decode", f"{i}.5") for i in range(ROUNDS)]
    measured["one board changed"] = await median_ms(app, changes)
    measured["one page down"] = await median_ms(app, [table.action_page_down] * ROUNDS)
    words = ["s", "si", "site", "site0", "site00", "site003"]
    measured["filter"] = await median_ms(app, [lambda w=w: fill(w) for w in words])
    measured["filter cleared"] = await cpu_ms(app, lambda: fill(""))
    measured["sort"] = await median_ms(app, [lambda: table.sort("decode")] * 3)


def child_empty(_boards: int, started: float, script: bool) -> Measured:
    """An application without anything in it."""
    from textual.app import App

    app: App[None] = App()
    measured: Measured = {}

    async def measure(_pilot: Any) -> None:
        await first_paint(app, measured, started)
        if script:
            measured["repaint"] = await median_ms(app, [app.screen.refresh] * ROUNDS)
        app.exit()

    app.run(size=SIZE, auto_pilot=measure)
    return measured


async def first_paint(app: Any, measured: Measured, started: float) -> None:
    """Waits for it and notes the wall time since the process was started."""
    painted = asyncio.Event()
    app.screen.call_after_refresh(painted.set)
    await painted.wait()
    measured["start-up"] = (time.monotonic() - started) * 1e3


CHILDREN: dict[str, Callable[[int, float, bool], Measured]] = {
    "dashboard": child_dashboard,
    "DataTable": child_datatable,
    "empty": child_empty,
}


# ---- in the parent


def run_child(name: str, boards: int, *, script: bool) -> Measured:
    """Runs a child on a pseudo-terminal whose output is read and thrown away."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    reader = threading.Thread(target=_drain, args=(master,), name="pty-drain", daemon=True)
    reader.start()
    with tempfile.TemporaryDirectory(prefix="tinyprof-bench-") as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, __file__, "--child", name, "--boards", str(boards), "--result", str(result),
                   "--started", repr(time.monotonic()), *(["--script"] if script else [])]  # fmt: skip
        environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment,
                                 start_new_session=True)  # fmt: skip
        os.close(slave)
        try:
            child.wait(CHILD_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            sys.exit(f"{name} did not finish within {CHILD_TIMEOUT_S} s")
        if not result.exists():
            sys.exit(f"{name} ended with code {child.returncode} and without a result")
        measured: Measured = json.loads(result.read_text())
    return measured


def _drain(master: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(master, 65_536):
            pass
    os.close(master)


def measure_all(boards: int) -> dict[str, Measured]:
    """Every application's figures in ms; start-ups alternate, so that a busy moment hits all alike."""
    figures = {name: run_child(name, boards, script=True) for name in CHILDREN}
    starts: dict[str, list[float]] = {name: [] for name in CHILDREN}
    for _ in range(START_ROUNDS):
        for name in CHILDREN:
            starts[name].append(run_child(name, boards, script=False)["start-up"])
    for name, times in starts.items():
        figures[name]["start-up"] = statistics.median(times)
    return figures


def report(boards: int, figures: dict[str, Measured]) -> dict[str, Any]:
    """Our figures with their ratios to the other two, and whether the targets are met."""
    rows = {}
    for what, value in figures["dashboard"].items():
        others = {name: figures[name].get(what) for name in ("DataTable", "empty")}
        rows[what] = {
            "ms": round(value, 2),
            **{f"ratio_to_{name}": round(value / other, 3) if other else None for name, other in others.items()},
            **{f"{name}_ms": round(other, 2) if other is not None else None for name, other in others.items()},
            "target_ms": TARGETS_MS.get(what),
            "met": value < TARGETS_MS[what] if what in TARGETS_MS else None,
        }
    return {"boards": boards, "size": list(SIZE), "figures": rows}


def print_table(told: dict[str, Any]) -> None:
    """The report for a person."""
    print(f"{told['boards']} boards, a terminal of {SIZE[0]} by {SIZE[1]}; ms of CPU (start-up: wall)")
    head = ("", "dashboard", "target", "DataTable", "ratio", "empty app", "ratio")
    print(f"{head[0]:<18}{head[1]:>10}{head[2]:>9}{head[3]:>11}{head[4]:>8}{head[5]:>11}{head[6]:>8}")
    for what, row in told["figures"].items():
        cells = (row["target_ms"], row["DataTable_ms"], row["ratio_to_DataTable"], row["empty_ms"],
                 row["ratio_to_empty"])  # fmt: skip
        shown = [f"{cell:g}" if cell is not None else "-" for cell in cells]
        verdict = {True: "", False: "   over its target", None: ""}[row["met"]]
        print(
            f"{what:<18}{row['ms']:>10.2f}{shown[0]:>9}{shown[1]:>11}{shown[2]:>8}{shown[3]:>11}{shown[4]:>8}{verdict}"
        )


def main() -> int:
    """0 if every target is met, 1 if not."""
    parser = argparse.ArgumentParser(description="How quick the dashboard is")
    parser.add_argument("--boards", type=int, default=10_000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    for hidden in ("--child", "--result"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--script", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measured = CHILDREN[options.child](options.boards, options.started, options.script)
        Path(options.result).write_text(json.dumps(measured))
        return 0
    told = report(options.boards, measure_all(options.boards))
    if options.json:
        print(json.dumps(told))
    else:
        print_table(told)
    return 0 if all(row["met"] is not False for row in told["figures"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())

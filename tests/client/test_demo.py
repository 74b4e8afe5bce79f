"""The demo, with all its processes: from another directory, to its last line, and interrupted."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tinyprof.demo.figures import Produced, rows_add_up
from tinyprof.demo.plan import BOARDS, UnknownDemoBoard, agent_toml, emulated, parse_boards
from tinyprof.demo.processes import DemoFailed, Part, clean_environment, tail
from tinyprof.demo.running import missing_packages
from tinyprof.demo.why_unstable import closing_line
from tinyprof_agent.profiling.statistics import Interval, Summary
from tinyprof_agent.profiling.verdict import Evidence, judge
from tinyprof_protocol.presence import AgentStatus, EpochOwed
from tinyprof_protocol.records import ClockReport
from tinyprof_protocol.requests import LedgerRow

KEYS = [
    "boards", "produced", "stored", "in_spool", "evicted", "duplicates", "quarantined", "missing",
    "results", "valid", "unstable", "invalid", "ledger_ok",
]  # fmt: skip
PROCESSES = ("broker", "collector", "agent", "soft-q8", "soft-q4")
ONE, TWO = b"1" * 16, b"2" * 16


def processes_that_mention(mark: str) -> dict[int, str]:
    """Processes with `mark` in their command or environment: the demo's children inherit what it was given."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            try:
                environment, line = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in environment + line:
                found[int(folder.name)] = line.replace(b"\0", b" ").decode()
    return found


def wait_until_gone(mark: str, within_s: float) -> dict[int, str]:
    deadline = time.monotonic() + within_s
    while (left := processes_that_mention(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def demo(tmp_path: Path, *arguments: str, terminal: int | None = None) -> subprocess.Popen[str]:
    """The command, in a session of its own; its children inherit a variable by which they are found."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tinyprof", "demo", *arguments],
        cwd=tmp_path,
        env=os.environ | {"DEMO_UNDER_TEST": str(tmp_path), "TERM": "xterm-256color", "COLUMNS": "120"},
        stdout=subprocess.PIPE if terminal is None else terminal,
        stderr=subprocess.PIPE if terminal is None else terminal,
        stdin=subprocess.DEVNULL if terminal is None else terminal,
        text=True,
        start_new_session=True,
    )


def line_that_says(process: subprocess.Popen[str], words: str) -> None:
    """Reads the demo's stderr until it says so."""
    said = []
    for line in process.stderr:
        said.append(line)
        if words in line:
            return
    pytest.fail(f"the demo never said {words!r}: {''.join(said)}")


@pytest.mark.timeout(120)
def test_from_another_directory_every_record_is_accounted_for(tmp_path) -> None:
    process = demo(tmp_path, "--for", "12s", "--json", "--boards", "host,soft-q8,soft-q4")
    stdout, stderr = process.communicate(timeout=110)
    assert process.returncode == 0, stderr
    figures = json.loads(stdout.splitlines()[-1])
    assert list(figures) == KEYS
    assert figures["ledger_ok"] is True
    assert figures["produced"] == figures["stored"] > 0
    assert figures["boards"] == 3
    assert figures["results"] == figures["valid"] + figures["unstable"] + figures["invalid"] > 0
    assert [figures[key] for key in ("in_spool", "evicted", "quarantined", "missing")] == [0, 0, 0, 0]
    assert ("unstable, most often: " in stderr.splitlines()[-1]) == (figures["unstable"] > 0)
    assert re.search(r"logs in /\S+ are removed at the end", stderr)
    assert wait_until_gone(str(tmp_path), 5) == {}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_interrupted_it_leaves_nothing_behind(tmp_path, number) -> None:
    process = demo(tmp_path, "--for", "10m", "--boards", "host,soft-q4", "--state-dir", str(tmp_path / "state"))
    line_that_says(process, f"logs in {tmp_path / 'state'} stay there")
    line_that_says(process, "2 boards")
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert wait_until_gone(str(tmp_path), 5) == {}
    assert (tmp_path / "state" / "agent.log").is_file()


@pytest.mark.timeout(120)
def test_on_a_terminal_the_dashboard_is_in_front_and_the_demo_ends_with_it(tmp_path) -> None:
    terminal, theirs = pty.openpty()
    with demo(tmp_path, "--boards", "soft-q4", terminal=theirs) as process:
        os.close(theirs)
        screen = b""
        while b"stories260k-q4_0" not in screen:
            screen += os.read(terminal, 65536)
        os.write(terminal, b"q")
        screen = b""
        while chunk := read_or_end(terminal):
            screen += chunk
        os.close(terminal)
    assert process.returncode == 0, screen.decode(errors="replace")
    assert b"the ledger adds up" in screen
    assert wait_until_gone(str(tmp_path), 5) == {}


def read_or_end(terminal: int) -> bytes:
    """What the terminal has; nothing once its last user is gone."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


@pytest.mark.timeout(120)
def test_a_part_that_is_killed_ends_the_demo_with_one_line_that_names_it(tmp_path) -> None:
    process = demo(tmp_path, "--for", "10m", "--boards", "host", "--json")
    line_that_says(process, "1 board:")
    for pid, line in processes_that_mention(str(tmp_path)).items():
        if "agent run" in line:
            os.kill(pid, signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stdout == ""
    assert "tinyprof: agent ended with exit code -9: " in stderr.splitlines()[-1]
    assert wait_until_gone(str(tmp_path), 40) == {}


@pytest.mark.timeout(120)
def test_killed_it_leaves_nothing_behind(tmp_path) -> None:
    process = demo(tmp_path, "--for", "10m", "--boards", "host,soft-q4", "--state-dir", str(tmp_path / "state"))
    line_that_says(process, "2 boards")
    process.kill()
    process.communicate()
    assert wait_until_gone(str(tmp_path), 40) == {}


def test_a_part_that_ends_is_named_with_the_last_lines_of_its_log(tmp_path) -> None:
    part = Part("collector", "tinyprof", ["collector", "run", "--config", str(tmp_path / "none.toml")], tmp_path)
    try:
        part._process.wait(30)
        with pytest.raises(DemoFailed, match=r"collector ended with exit code 2: .*none\.toml"):
            part.check()
    finally:
        part.stop()
    assert "none.toml" in tail(part.log)


SURE = Summary(1.0, 6, Interval(1.0, 1.0, 0.97))
UNSURE = Summary(1.0, 6, Interval(0.5, 1.5, 0.97))
STEADY = Evidence(ClockReport("checked"), "match", 6, SURE, SURE)


@pytest.mark.parametrize(
    ("evidence", "plain"),
    [
        (replace(STEADY, ttft=UNSURE), "TTFT varies from one repetition to the next"),
        (replace(STEADY, tpot=UNSURE), "TPOT varies from one repetition to the next"),
        (replace(STEADY, cpu_share=0.5), "the engine had to share the processor with others"),
        (replace(STEADY, clock=ClockReport("unchecked")), "the board's clock could not be checked"),
        (replace(STEADY, repetitions=2), "2 repetitions"),
    ],
)
def test_each_reason_of_a_verdict_has_plain_words(evidence, plain) -> None:
    verdict, reasons = judge(evidence)
    assert verdict == "unstable"
    expected = f"unstable, most often: {plain} (1 of 1 run); that is what 'unstable' is for"
    assert closing_line([reasons]) == expected


def test_the_commonest_reason_is_told_whatever_its_figures_and_none_without_an_unstable_run() -> None:
    runs = [["TTFT is known to 9%"], ["TPOT is known to 6%", "TTFT is known to 7%"], ["TPOT is known to 8%"],
            ["TPOT is known to 12%"]]  # fmt: skip
    assert "TPOT varies from one repetition to the next (3 of 4 runs)" in (closing_line(runs) or "")
    assert closing_line([]) is None


def test_nothing_of_the_user_reaches_the_parts(monkeypatch) -> None:
    for name in ("TINYPROF_BROKER", "TINYPROF_STATE_DIR", "LOG_LEVEL"):
        monkeypatch.setenv(name, "strange")
    assert not {"TINYPROF_BROKER", "TINYPROF_STATE_DIR", "LOG_LEVEL"} & set(clean_environment())


def test_packages_that_are_missing_are_named_and_textual_only_for_the_dashboard() -> None:
    def nothing(_name: str) -> None:
        return None

    assert missing_packages(dashboard=False, find=nothing) == ["iotcore", "numpy"]
    assert missing_packages(dashboard=True, find=nothing) == ["iotcore", "numpy", "textual"]
    assert missing_packages(dashboard=True) == []


def test_boards_by_name_each_once() -> None:
    assert parse_boards("soft-q4, host,soft-q4") == ["soft-q4", "host"]
    assert parse_boards("rp2040,host", ["rp2040"]) == ["rp2040", "host"]
    for wrong in ("abacus", " , "):
        with pytest.raises(UnknownDemoBoard, match=", ".join(BOARDS)):
            parse_boards(wrong)


def row(epoch: bytes, **counts: int) -> LedgerRow:
    return LedgerRow("demo.here", epoch, **counts)


def test_what_the_agent_made_is_the_sum_of_its_epochs_heads() -> None:
    produced = Produced()
    produced.hear(AgentStatus("demo.here", "online", epochs=[EpochOwed(ONE, 1, 7)], spool_records=7))
    produced.hear(AgentStatus("demo.here", "online", epochs=[EpochOwed(ONE, 8, 9), EpochOwed(TWO, 1, 2)]))
    produced.hear(AgentStatus("demo.here", "offline"))
    assert produced.total == 11
    assert produced.in_spool == 0


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row(TWO, head=5, stored=5, verified=5)],
        [row(ONE, head=4, stored=4, verified=4)],
        [row(ONE, head=5, stored=4, verified=4)],
        [row(ONE, head=5, stored=5, verified=4)],
        [row(ONE, head=5, stored=5)],
        [row(ONE, head=5, stored=5, evicted=1, verified=5)],
        [row(ONE, head=5, stored=4, missing=1, verified=4)],
    ],
    ids=["no row", "another epoch", "head behind", "hole", "store has less", "unverified", "twice", "missing"],
)
def test_a_ledger_that_does_not_add_up(rows) -> None:
    assert not rows_add_up(rows, {ONE: 5})


def test_a_ledger_that_adds_up() -> None:
    assert rows_add_up([row(ONE, head=5, stored=3, verified=3, evicted=1, in_spool=1)], {ONE: 5, TWO: 0})


def test_the_agents_configuration_has_what_its_boards_need(tmp_path) -> None:
    import tomllib

    boards = [BOARDS["host"], BOARDS["soft-q8"], emulated("rp2040", Path("/firmware/targets/rp2040"))]
    configuration = tomllib.loads(agent_toml("mqtt://127.0.0.1:1", tmp_path / 'odd "name"', boards))
    assert [board["driver"] for board in configuration["boards"]] == ["host", "probe", "emulated"]
    assert configuration["boards"][1]["options"]["port"] == str(tmp_path / 'odd "name"' / "soft-q8.port")
    assert configuration["boards"][2]["options"] == {"target": "/firmware/targets/rp2040", "firmware_dir": "/firmware"}
    assert {board["processor"] for board in configuration["boards"]} == {"host"}

"""The host board for real: the shipped model in its child process."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyprof_agent.drivers.driver import BadOptions, BoardError, Cancelled
from tinyprof_agent.drivers.host import HostDriver, Options, make
from tinyprof_agent.profiling.run import RunPlan, Surroundings, run
from tinyprof_agent.worker import shipped_cases
from tinyprof_models.catalogue import shipped_model
from tinyprof_models.golden import shipped_golden
from tinyprof_platforms.suites import adapt, shipped_suites

NEVER = threading.Event()


@pytest.fixture(scope="module")
def board() -> Iterator[HostDriver]:
    driver = make("here", Options("stories260k-q8_0"), time.monotonic_ns)
    yield driver
    driver.close()


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}/stat").exists():
        assert time.monotonic() < deadline, "the child is still there, alive or as a zombie"
        time.sleep(0.02)


def test_a_run_of_the_real_model_matches_its_golden_output(board: HostDriver) -> None:
    info = board.open()
    assert (info.host_clock, info.ram_is_rss, info.build.platform, info.build.timing) == (True, True, "host", "device")
    assert info.build.model_sha256 == shipped_model("stories260k-q8_0").sha256
    plan = RunPlan(bytes(16), "here", "quick", shipped_suites()["quick"])
    outcome = run(board, info, plan, Surroundings(time.monotonic_ns, shipped_cases(info.build)), NEVER)
    result = outcome.result
    assert outcome.failure is None
    assert result.golden == "match"
    assert result.verdict in ("valid", "unstable")
    assert result.clock.check == "host"
    assert result.timed_s >= 2.0
    assert {one.golden_tokens for one in result.repetitions} == {24}
    figures = {name: figure.value for name, figure in result.figures.items()}
    assert figures["output_tokens"] == 24
    assert figures["ram_peak_bytes"] > 10e6
    assert 0 < figures["ttft_ms"] < figures["e2e_ms"]
    golden = shipped_golden().cases(info.build.model_sha256, "float32", "f32")
    assert next(case.text for case in golden if case.prompt == "One day").startswith(result.output)
    assert len(result.output) > 24


def test_int8_activations_have_a_golden_output_of_their_own() -> None:
    driver = make("here", Options("stories260k-q4_0", activations="int8"), time.monotonic_ns)
    try:
        info = driver.open()
        cases = shipped_cases(info.build)
        generation = driver.generate("One day", 64, timeout_s=30, cancelled=NEVER)
        assert info.build.activations == "int8"
        assert tuple(generation.tokens) == tuple(cases["One day"].tokens)
    finally:
        driver.close()


def test_tokens_stream_where_that_is_asked(board: HostDriver) -> None:
    board.open()
    pieces: list[bytes] = []
    generation = board.generate("One day", 16, timeout_s=30, cancelled=NEVER, on_text=pieces.append)
    assert b"".join(pieces) == generation.text
    assert len(pieces) == 16


def test_a_run_is_cancelled_between_tokens_and_the_board_stays(board: HostDriver) -> None:
    board.open()
    cancelled = threading.Event()
    with pytest.raises(Cancelled):
        board.generate("One day", 200, timeout_s=30, cancelled=cancelled, on_text=lambda _: cancelled.set())
    pid = board.child_pid
    assert len(board.generate("One day", 4, timeout_s=30, cancelled=NEVER).tokens) == 4
    assert board.child_pid == pid


def test_a_child_that_ended_by_itself_is_started_again(board: HostDriver) -> None:
    driver = make("here", Options("stories260k-q8_0", idle_end_s=0.05), time.monotonic_ns)
    try:
        driver.open()
        first = driver.generate("One day", 4, timeout_s=30, cancelled=NEVER)
        pid = driver.child_pid
        if pid is not None:
            wait_until_gone(pid)
        second = driver.generate("One day", 4, timeout_s=30, cancelled=NEVER)
        assert second.tokens == first.tokens
        assert driver.counters.counts["child_restarts"] >= 1
    finally:
        driver.close()


def test_a_child_killed_in_a_run_is_lost_and_can_be_opened_again(board: HostDriver) -> None:
    board.open()

    def kill(_: bytes) -> None:
        if board.child_pid is not None:
            os.kill(board.child_pid, 9)

    with pytest.raises(BoardError) as caught:
        board.generate("One day", 200, timeout_s=30, cancelled=NEVER, on_text=kill)
    assert caught.value.code == "lost"
    board.open()
    assert board.generate("One day", 2, timeout_s=30, cancelled=NEVER).tokens


def test_a_prompt_too_long_is_refused_and_the_board_stays(board: HostDriver) -> None:
    board.open()
    with pytest.raises(BoardError) as caught:
        board.generate("word " * 500, 4, timeout_s=30, cancelled=NEVER)
    assert caught.value.code == "refused"
    assert board.generate("One day", 2, timeout_s=30, cancelled=NEVER).tokens


def child_that(code: str, **options: float) -> HostDriver:
    return HostDriver("here", Options("stories260k-q8_0", **options), time.monotonic_ns, [sys.executable, "-c", code])


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import time; time.sleep(600)", "timeout"),
        ("import sys; sys.exit('no numpy here')", "lost"),
        ("import sys; sys.stdout.write('x' * 100); sys.stdout.flush(); sys.stdin.read()", "fault"),
    ],
)
def test_a_child_that_hangs_ends_or_talks_nonsense_is_one_clear_error(code: str, error: str) -> None:
    driver = child_that(code, load_timeout_s=1.0 if error == "timeout" else 30.0)
    with pytest.raises(BoardError) as caught:
        driver.open()
    assert caught.value.code == error
    assert "\n" not in str(caught.value)
    if error == "lost":
        assert "no numpy here" in str(caught.value)
    pid = driver.child_pid
    driver.reset()
    driver.close()
    if pid is not None:
        wait_until_gone(pid)


def test_a_model_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(BadOptions, match=r"'no-such-model'.*stories260k-q8_0"):
        make("here", Options("no-such-model"), time.monotonic_ns)


def test_a_model_that_went_away_after_the_start_is_a_failure_of_its_board(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    driver = make("here", Options(str(path)), time.monotonic_ns)
    path.unlink()
    with pytest.raises(BoardError, match="is neither a file nor one of"):
        driver.open()
    driver.close()


def test_a_file_that_is_no_model_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    driver = make("here", Options(str(path)), time.monotonic_ns)
    with pytest.raises(BoardError) as caught:
        driver.open()
    assert caught.value.code == "fault"
    driver.close()


def test_a_round_trip_wakes_no_child() -> None:
    driver = make("here", Options("stories260k-q8_0"), time.monotonic_ns)
    trip = driver.round_trip()
    assert trip.sent_ns <= trip.board_ns <= trip.received_ns
    assert driver.child_pid is None


def test_a_free_prompt_agrees_with_itself(board: HostDriver) -> None:
    info = board.open()
    suite = adapt(shipped_suites()["quick"], prompts=("A cat and a bird",), max_tokens=3)
    plan = RunPlan(bytes(16), "here", "quick", suite)
    result = run(board, info, plan, Surroundings(time.monotonic_ns, shipped_cases(info.build)), NEVER).result
    assert result.golden == "none"
    assert result.verdict in ("valid", "unstable")

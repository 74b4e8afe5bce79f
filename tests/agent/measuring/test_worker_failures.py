"""A board that hangs, resets itself, goes or was never there, and its worker. Waits are for what is told."""

import threading

import pytest
from scripted_board import PATIENCE_S, Diary, ScriptedBoard, fails, job, working

from tinyprof_protocol.records import Event


def test_a_hung_board_is_reset_and_the_result_says_why() -> None:
    board, diary = ScriptedBoard(on_generate=fails("timeout", until_n=2)), Diary()
    with working(board, diary, every_s=0.01):
        diary.until(lambda: len(diary.results()) >= 2)
    assert diary.events() == ["board_connected", "run_failed", "board_reset"]
    first, second = diary.results()[:2]
    assert first.verdict == "invalid"
    assert first.reasons[0] == "timeout: what to do"
    assert second.reasons[0] != first.reasons[0]
    assert (board.resets, board.opens) == (1, 2)
    failed = next(body for body in diary.bodies if isinstance(body, Event) and body.name == "run_failed")
    assert failed.run_id == first.run_id


def test_a_board_that_resets_itself_is_told_once_and_used_again() -> None:
    board, diary = ScriptedBoard(on_generate=fails("reset", until_n=3)), Diary()
    with working(board, diary, every_s=0.01):
        diary.until(lambda: len(diary.results()) >= 3)
    assert diary.events() == ["board_connected", "run_failed", "board_reset"]
    assert board.resets == 0
    assert [result.verdict for result in diary.results()[:2]] == ["invalid", "invalid"]


def test_a_board_that_is_gone_is_told_once_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", logger="tinyprof_agent")
    board, diary = ScriptedBoard(on_open=fails("gone", from_n=2, until_n=20)), Diary()
    board.on_round_trip = fails("gone", until_n=2)
    with working(board, diary, sample_every_s=0.01) as worker:
        diary.until(lambda: "circuit_closed" in diary.events())
        diary.until(lambda: bool(diary.samples()))
        assert worker.presence().state == "idle"
        assert worker.presence().failures == 0
    assert diary.events() == ["board_connected", "board_lost", "circuit_open", "board_connected", "circuit_closed"]
    lost = next(body for body in diary.bodies if isinstance(body, Event) and body.name == "board_lost")
    assert lost.message.startswith("gone: ")
    said = {record.getMessage().split(": ")[1]: record.levelname for record in caplog.records}
    assert (said["board_lost"], said["circuit_open"]) == ("WARNING", "ERROR")


def test_a_board_that_was_never_there_is_told_once_and_its_circuit_opens() -> None:
    tries, silent = threading.Event(), fails("silent")

    def hook(n: int) -> None:
        if n > 12:
            tries.set()
        silent(n)

    board, diary = ScriptedBoard(on_open=hook), Diary()
    with working(board, diary, every_s=0.01) as worker:
        worker.submit(job())
        assert tries.wait(PATIENCE_S)
        presence = worker.presence()
        assert presence.state == "open"
        assert presence.failures >= 12
        assert presence.message == "silent: what to do"
    assert diary.events() == ["board_reset", "board_lost", "circuit_open"]
    assert diary.states(job()) == ["accepted"]


def test_a_board_that_opens_but_never_runs_opens_its_circuit_and_a_run_closes_it() -> None:
    board, diary = ScriptedBoard(on_generate=fails("timeout", until_n=6)), Diary()
    with working(board, diary, every_s=0.01):
        diary.until(lambda: "circuit_closed" in diary.events())
    assert diary.events() == ["board_connected", "run_failed", "board_reset", "circuit_open", "circuit_closed"]
    assert [result.reasons[0] for result in diary.results()[:5]] == ["timeout: what to do"] * 5
    assert board.resets == 5


def test_a_refused_request_is_no_fault_of_the_board() -> None:
    board, diary = ScriptedBoard(on_generate=fails("refused", until_n=5)), Diary()
    with working(board, diary) as worker:
        for number in range(1, 6):
            worker.submit(job(number))
        diary.until(lambda: "finished" in diary.states(job(5)))
    assert board.opens == 1
    assert diary.events() == ["board_connected", "run_failed"]
    ends = [(state, why, result) for state, job_id, why, result in diary.jobs if job_id == job(1).id]
    assert ends[-1] == ("refused", "what to do", None)


def test_an_error_nobody_foresaw_ends_neither_the_thread_nor_the_job_in_silence() -> None:
    def breaks(n: int, _: threading.Event) -> None:
        if n == 1:
            raise ZeroDivisionError("a defect")

    board, diary = ScriptedBoard(on_generate=breaks), Diary()
    with working(board, diary) as worker:
        worker.submit(job(1))
        worker.submit(job(2))
        diary.until(lambda: "finished" in diary.states(job(2)))
    assert diary.states(job(1)) == ["accepted", "started", "interrupted"]
    assert diary.events() == ["board_connected", "run_failed"]


def test_a_full_disk_does_not_end_the_boards_thread() -> None:
    board, diary = ScriptedBoard(), Diary()
    diary.full = True
    with working(board, diary, every_s=0.01):
        diary.until(lambda: sum(p.stage == "done" for p in diary.progress) >= 2)
        diary.full = False
        diary.until(lambda: bool(diary.results()))

import io

import msgspec

from tinyprof.terminal import ProgressLine, one_line, plain, table
from tinyprof_protocol.requests import Failure, Point


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_silent_where_nobody_looks() -> None:
    stream = io.StringIO()
    with ProgressLine(stream) as line:
        line.show("working")
    assert stream.getvalue() == ""


def test_progress_is_drawn_ten_times_a_second_at_most_and_taken_away() -> None:
    stream, now = Terminal(), [0.0]
    with ProgressLine(stream, lambda: now[0]) as line:
        for step in range(100):
            now[0] = step / 100
            line.show(f"step {step}.")
    drawn = [int(text.split(".")[0]) for text in stream.getvalue().split("step ")[1:]]
    assert drawn[0] == 0
    assert 9 <= len(drawn) <= 10
    assert stream.getvalue().endswith("\r\x1b[2K")


def test_a_board_cannot_drive_the_terminal_by_its_progress() -> None:
    stream = Terminal()
    ProgressLine(stream).show("a\x1b[31mb\rc")
    assert stream.getvalue() == "\r\x1b[2Ka [31mb c"


def test_text_of_any_source_becomes_one_printable_line() -> None:
    assert one_line("a\nb\t\x00c\u202ed  é") == "a b c d é"


def test_a_table_aligns_its_columns() -> None:
    assert table(("name", "n"), [("a", "10"), ("bcdef", "9")], right="lr") == "name    n\na      10\nbcdef   9"
    assert table(("name",), []) == ""


def test_structs_become_objects_with_their_tags_and_bytes_hexadecimal() -> None:
    class Holder(msgspec.Struct):
        points: list[Point]
        by_id: dict[bytes, int] = {}

    point = {"time_ns": 1, "value": 2.0, "low": None, "high": None, "verdict": "", "run_id": "01", "series": ""}
    assert plain(Holder([Point(1, 2.0, run_id=b"\x01")])) == {
        "points": [point],
        "by_id": {},
    }
    assert plain(Failure("busy", "later")) == {"reply": "Failure", "code": "busy", "message": "later"}
    assert plain({b"\xff": (1, b"\x00")}) == {"ff": [1, "00"]}

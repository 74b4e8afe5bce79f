"""What `history` says of values that were estimated."""

from msgspec.structs import replace
from protocol_examples import RESULT

from tinyprof.commands.history import are_estimated
from tinyprof_protocol.records import Event, Figure, Record
from tinyprof_protocol.requests import HistoryReply


def reply(*bodies: object) -> HistoryReply:
    return HistoryReply([], [Record(1, "clock", b"b" * 16, 1, body) for body in bodies])  # type: ignore[arg-type]


def test_values_of_an_emulated_board_are_known_to_be_estimates() -> None:
    figures = {"decode_tps": Figure(60.0, 50.0, 70.0, estimated=True), "ram_peak_bytes": Figure(96_000.0)}
    answered = reply(Event("started"), replace(RESULT, figures=figures))
    assert are_estimated(answered, "decode_tps")
    assert not are_estimated(answered, "ram_peak_bytes")


def test_measured_values_are_not() -> None:
    assert not are_estimated(reply(replace(RESULT, figures={"decode_tps": Figure(60.0)})), "decode_tps")
    assert not are_estimated(reply(), "decode_tps")

"""Tables and badges for a README."""

from xml.etree import ElementTree as ET

import msgspec
import pytest

from tinyprof.formats.badge import badge_endpoint, badge_svg, badge_text
from tinyprof.formats.markdown import results_table
from tinyprof_protocol.records import Figure


@pytest.fixture
def emulated(result):
    run = result(figures={"decode_tps": Figure(3.25, 2.0, 5.0, estimated=True), "instructions_per_token": Figure(5e6),
                          "flash_bytes": Figure(300_000.0)})  # fmt: skip
    build = msgspec.structs.replace(run.build, platform="stm32f405", emulated=True, engine="a|b")
    return msgspec.structs.replace(run, build=build)


def test_a_table_has_a_row_a_board_and_marks_estimates(result, emulated) -> None:
    head, rule, host, part, _, note = results_table({"lab.a/host": [result([1.0, 2.0])], "f405": [emulated], "none": []}
                                                    ).splitlines()  # fmt: skip
    assert head.split(" | ")[5:] == ["TTFT, ms", "decode, tokens/s", "E2E, ms", "instr/token", "flash |"]
    assert rule == "|" + "---|" * 5 + "---:|" * 5
    assert (
        host
        == "| lab.a/host | host | stories260k-q4_0, Q4_0 | numpy-reference | valid | 1.500 | 500.0 | 47.50 | - | - |"
    )
    assert part == (
        "| f405 | stm32f405 (emulated) | stories260k-q4_0, Q4_0 | a\\|b | valid | - | ~3.25 | - | 5.00M | 293 KiB |"
    )
    assert note.startswith("`~` is an estimate")


def test_a_board_whose_runs_are_all_invalid_keeps_its_row(result) -> None:
    row = results_table({"b": [result([1.0], verdict="invalid")]}).splitlines()[2]
    assert row == "| b | host | stories260k-q4_0, Q4_0 | numpy-reference | invalid |"


@pytest.mark.parametrize(
    ("verdict", "message", "colour"),
    [
        ("valid", "500.0 tokens/s", "#2e7d32"),
        ("unstable", "500.0 tokens/s", "#8a6d00"),
        ("invalid", "invalid", "#b71c1c"),
    ],
)
def test_a_badge_says_the_figure_and_in_its_colour_the_verdict(result, verdict, message, colour) -> None:
    assert badge_text("host", "decode_tps", [result([1.0], verdict=verdict)]) == ("host decode", message, colour)
    assert badge_text("host", "decode_tps", [])[1] == "no run"


def test_a_badge_marks_an_estimate(emulated) -> None:
    assert badge_text("f405", "decode_tps", [emulated])[1] == "~3.25 tokens/s"


def test_a_badge_is_a_picture_or_an_endpoint() -> None:
    picture = ET.fromstring(badge_svg("a <b> & c", "~3.2 tokens/s", "#2e7d32"))
    texts = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["a <b> & c", "~3.2 tokens/s"]
    assert badge_endpoint("x", "y", "#2e7d32") == {
        "schemaVersion": 1, "label": "x", "message": "y", "color": "#2e7d32",
    }  # fmt: skip

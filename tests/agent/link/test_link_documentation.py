"""The page on the link says what the code does: each message's number, its fields and their order."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from tinyprof_agent.drivers.probe import messages
from tinyprof_agent.drivers.probe.frames import encode_frame

PAGE = (Path(__file__).parents[3] / "docs" / "link-protocol.md").read_text()
SECTIONS = {
    match["name"]: match
    for match in re.finditer(
        r"^#{3,4} (?:(?P<tag>\d+) )?(?P<name>\w+)\n(?P<body>.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
}
STRUCTS = [
    *get_args(messages.HostMessage),
    *get_args(messages.BoardMessage),
    messages.Firmware,
    messages.Machine,
    messages.Limits,
    messages.Model,
]


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_each_message_is_documented_in_its_order(struct: type[msgspec.Struct]) -> None:
    section = SECTIONS[struct.__name__]
    fields = re.findall(r"^\| (\w+) \|", section["body"], re.MULTILINE)
    assert fields == ["field", *struct.__struct_fields__]
    tag = struct.__struct_config__.tag
    assert section["tag"] == (None if tag is None else str(tag))


def test_no_message_is_documented_that_there_is_not() -> None:
    tagged = {name for name, match in SECTIONS.items() if match["tag"]}
    assert tagged == {struct.__name__ for struct in STRUCTS if struct.__struct_config__.tag is not None}


def test_the_pages_example_is_true() -> None:
    line = encode_frame(messages.encode_message(messages.Abort(7)))
    assert f"`{line.hex(' ').upper()}`" in PAGE


def test_every_body_has_at_most_fifteen_elements() -> None:
    assert max(len(struct.__struct_fields__) + 1 for struct in STRUCTS) <= 15

"""docs/commands.md against the commands themselves."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tinyprof.cli import tinyprof
from tinyprof.fleet import Fleet

DOCUMENT = Path(__file__).parents[2] / "docs" / "commands.md"
SERVICES = {"tinyprof agent run", "tinyprof collector run"}
"""They print nothing on stdout."""


def leaves(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from leaves(command.get_command(context, name), f"{path} {name}")
    else:
        yield path, command


COMMANDS = dict(leaves(tinyprof, "tinyprof"))


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.*)$", DOCUMENT.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def options(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if name.startswith("--")}


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    assert set(sections()) == set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_is_documented_and_no_other(path: str) -> None:
    documented = set(re.findall(r"`(--[a-z-]+)", sections()[path]))
    assert documented == options(COMMANDS[path])


@pytest.mark.parametrize("path", sorted(set(COMMANDS) - SERVICES))
def test_every_command_that_prints_has_json(path: str) -> None:
    assert "--json" in options(COMMANDS[path])


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_option_explains_itself(path: str) -> None:
    command = COMMANDS[path]
    assert command.help
    assert all(parameter.help for parameter in command.params if isinstance(parameter, click.Option))
    assert not command.get_short_help_str(45).endswith("...")


def test_the_python_api_is_documented() -> None:
    text = (DOCUMENT.parent / "python.md").read_text()
    documented = set(re.findall(r"^\| `(\w+)\(", text, flags=re.MULTILINE))
    assert documented == {name for name in vars(Fleet) if not name.startswith("_")}

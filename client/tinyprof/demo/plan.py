"""Which boards the demo has, and the configurations of its parts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SITE, AGENT = "demo", "here"
NODE = f"{SITE}.{AGENT}"
COLLECTOR = "demo"
STATUS_INTERVAL_S = 2.0
HOST_SAMPLE_EVERY_S = 5.0


class UnknownDemoBoard(ValueError):
    """A board that the demo does not have; the message lists those that it has."""


@dataclass(frozen=True, slots=True)
class DemoBoard:
    """A board: this machine itself, or (`soft`) a program that speaks the board's side of the link."""

    name: str
    model: str
    activations: str
    soft: bool
    every_s: float = 10.0


BOARDS = {
    board.name: board
    for board in (
        DemoBoard("host", "stories260k-f32", "float32", soft=False),
        DemoBoard("soft-q8", "stories260k-q8_0", "int8", soft=True),
        DemoBoard("soft-q4", "stories260k-q4_0", "float32", soft=True),
        DemoBoard("soft-f32", "stories260k-f32", "float32", soft=True),
    )
}
DEFAULT_BOARDS = "host,soft-q8,soft-q4"


def parse_boards(text: str) -> list[DemoBoard]:
    """The boards of a list with commas, each once. Raises UnknownDemoBoard."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    strange = [name for name in names if name not in BOARDS]
    if strange or not names:
        wrong = f"the demo has no board {strange[0]!r}" if strange else "name at least one board"
        raise UnknownDemoBoard(f"{wrong}; there are {', '.join(BOARDS)}")
    return [BOARDS[name] for name in names]


def port_link(folder: Path, board: DemoBoard) -> Path:
    """The link to a soft board's terminal."""
    return folder / f"{board.name}.port"


def collector_toml(broker: str, folder: Path) -> str:
    """The collector's configuration."""
    return _toml(
        {
            "id": COLLECTOR,
            "broker": broker,
            "state_dir": str(folder / "collector"),
            "status_interval_s": STATUS_INTERVAL_S,
        }
    )


def agent_toml(broker: str, folder: Path, boards: list[DemoBoard]) -> str:
    """The agent's configuration; it takes this machine's clock as it is."""
    top = {"site": SITE, "agent": AGENT, "broker": broker, "state_dir": str(folder / "agent")}
    text = _toml(top | {"host_sample_every_s": HOST_SAMPLE_EVERY_S})
    text += f'\n[clock]\ntrust = "always"\n\n[uplink]\n{_toml({"status_every_s": STATUS_INTERVAL_S})}'
    for board in boards:
        options: dict[str, str | float] = {"model": board.model, "activations": board.activations}
        if board.soft:
            options = {"port": str(port_link(folder, board)), "reset": "none"}
        table: dict[str, str | float] = {
            "name": board.name,
            "driver": "probe" if board.soft else "host",
            "suite": "quick",
            "every_s": board.every_s,
            "sample_every_s": HOST_SAMPLE_EVERY_S,
            "processor": "host",
        }
        text += f"\n[[boards]]\n{_toml(table)}\n[boards.options]\n{_toml(options)}"
    return text


def _toml(table: Mapping[str, str | float]) -> str:
    """A flat table; TOML's basic strings are written as JSON's."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())

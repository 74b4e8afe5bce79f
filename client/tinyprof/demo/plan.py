"""Which boards the demo has, and the configurations of its parts."""

import json
from collections.abc import Collection, Mapping
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
    """A board: this machine itself, a program that speaks the board's side of the link (`soft`), or an emulator.

    `target` is the folder of an emulated board's target, in the firmware that it is part of.
    """

    name: str
    model: str = ""
    activations: str = ""
    soft: bool = False
    every_s: float = 10.0
    target: Path | None = None


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
EMULATED_EVERY_S = 60.0
"""Their counts are the same each time: they are asked seldom, and leave the processor to the boards that are timed."""


def parse_boards(text: str, targets: Collection[str] = ()) -> list[str]:
    """The names in a list with commas, each once: boards and targets to emulate. Raises UnknownDemoBoard."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    strange = [name for name in names if name not in BOARDS and name not in targets]
    if strange or not names:
        wrong = f"the demo has no board {strange[0]!r}" if strange else "name at least one board"
        raise UnknownDemoBoard(f"{wrong}; there are {', '.join([*BOARDS, *targets])}")
    return names


def emulated(name: str, target: Path) -> DemoBoard:
    """The emulated board of a target's folder."""
    return DemoBoard(name, every_s=EMULATED_EVERY_S, target=target)


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
        driver, options = _driver_of(board, folder)
        table: dict[str, str | float] = {
            "name": board.name,
            "driver": driver,
            "every_s": board.every_s,
            "sample_every_s": HOST_SAMPLE_EVERY_S,
            "processor": "host",
        }
        text += f"\n[[boards]]\n{_toml(table)}\n[boards.options]\n{_toml(options)}"
    return text


def _driver_of(board: DemoBoard, folder: Path) -> tuple[str, dict[str, str | float]]:
    """The kind of a board's driver, and its options."""
    if board.target is not None:
        return "emulated", {"target": str(board.target), "firmware_dir": str(board.target.parents[1])}
    if board.soft:
        return "probe", {"port": str(port_link(folder, board)), "reset": "none"}
    return "host", {"model": board.model, "activations": board.activations}


def _toml(table: Mapping[str, str | float]) -> str:
    """A flat table; TOML's basic strings are written as JSON's."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())

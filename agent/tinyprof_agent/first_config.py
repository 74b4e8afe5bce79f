"""A first configuration for this machine: the shipped sample with its names, and a board for each serial port. Pure."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_TITLE: Final = "# Configuration of a tinyprof agent, made by 'tinyprof agent init'."
_BOARDS_BEGIN: Final = "# One table for each board."
_MAKERS: Final = {
    0x0483: "STMicroelectronics (an ST-Link, or a board's own USB)",
    0x2E8A: "Raspberry Pi (a Pico, or its debug probe)",
    0x303A: "Espressif (an ESP32's own USB)",
    0x10C4: "Silicon Labs CP210x (often an ESP32 or ESP8266)",
    0x1A86: "WCH CH34x (often an ESP8266 or an Arduino clone)",
    0x0403: "FTDI (a USB serial cable)",
    0x2341: "Arduino",
    0x1366: "SEGGER J-Link",
    0x0D28: "Arm DAPLink",
}
MAX_PORTS: Final = 200


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port as the system describes it; `vid` and `pid` are None where it is no USB device.

    `path` is the name that stays the same whatever else is plugged in, where there is one.
    """

    path: str
    device: str
    vid: int | None = None
    pid: int | None = None
    serial_number: str = ""
    product: str = ""

    @property
    def is_usb(self) -> bool:
        """Whether it came over USB, as boards do; others are a machine's own ports."""
        return self.vid is not None

    def about(self) -> str:
        """What it is, in a line."""
        if self.vid is None or self.pid is None:
            return f"{_plain(self.device)}: a port of the machine itself"
        words = [f"{self.vid:04x}:{self.pid:04x}", _MAKERS.get(self.vid, "maker not known"), _plain(self.product)]
        number = f"serial number {_plain(self.serial_number)}" if self.serial_number else "without a serial number"
        return f"{_plain(self.device)}: {', '.join(word for word in (*words, number) if word)}"


def find_ports() -> list[Port]:
    """The serial ports of this machine, those of USB first. Opens none of them."""
    import os
    from pathlib import Path

    from serial.tools import list_ports

    stable = {os.path.realpath(link): str(link) for link in sorted(Path("/dev/serial/by-id").glob("*"))}
    found = [
        Port(stable.get(os.path.realpath(one.device), one.device), one.device, one.vid, one.pid,
             one.serial_number or "", one.product or "")
        for one in list_ports.comports()
    ]  # fmt: skip
    return sorted(found, key=lambda port: (not port.is_usb, port.device))[:MAX_PORTS]


def config_text(sample: str, site: str, agent: str, broker: str, ports: Sequence[Port]) -> str:
    """The configuration: the sample's keys with these names, this machine as a board, and a board for each USB port."""
    head = sample[: sample.index(_BOARDS_BEGIN)]
    head = re.sub(r"^# Configuration of a tinyprof agent\..*$", "# Configuration of a tinyprof agent, made by "
                  "'tinyprof agent init'.", head, count=1, flags=re.MULTILINE)  # fmt: skip
    head = _with_value(head, r"site = ", f"site = {_quoted(site)}")
    head = _with_value(head, r"# agent = ", f"agent = {_quoted(agent)}")
    head = _with_value(head, r"broker = ", f"broker = {_quoted(broker)}")
    return head + "\n".join([_HOST, *_tables(ports)])


def board_names(ports: Iterable[Port]) -> list[str]:
    """A name for the board at each port, each once: by what the port says it is, with a number."""
    names: list[str] = []
    for port in ports:
        base = re.sub(r"[^a-z0-9]+", "-", port.product.lower()).strip("-")[:40].strip("-") or "board"
        number = 1
        while f"{base}-{number}" in names:
            number += 1
        names.append(f"{base}-{number}")
    return names


_HOST: Final = """# One table for each board. A driver's own settings go into [boards.options].

# This machine itself, with a model that ships.
[[boards]]
name = "this-machine"
driver = "host"
every_s = 60.0
[boards.options]
model = "stories260k-q8_0"
"""


def _tables(ports: Sequence[Port]) -> list[str]:
    lines = []
    for port, name in zip(ports, board_names(ports), strict=True):
        head = ["[[boards]]", f"name = {_quoted(name)}", 'driver = "probe"']
        table = [*head, "[boards.options]", f"port = {_quoted(port.path)}"]
        # A machine's own port may lead anywhere: its owner says whether a board is there.
        shown = table if port.is_usb else [f"# {line}" for line in table]
        lines.append("\n".join([f"# {port.about()}", *shown, ""]))
    if not ports:
        lines.append('# No serial port is there now.\n# [[boards]]\n# name = "nucleo-1"\n# driver = "probe"\n'
                     '# [boards.options]\n# port = "/dev/ttyACM0"\n')  # fmt: skip
    return lines


def _with_value(text: str, begins: str, line: str) -> str:
    found, count = re.subn(rf"^{begins}.*$", lambda _: line, text, count=1, flags=re.MULTILINE)
    assert count == 1, f"the sample has no line that begins with {begins!r}"
    return found


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes, but that what is beyond 16 bits stands for itself and DEL does not."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _plain(text: str) -> str:
    """Text of a USB device as a part of one line."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:80]

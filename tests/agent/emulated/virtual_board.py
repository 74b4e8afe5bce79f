"""`python virtual_board.py PORT ...`: a soft board on a TCP port whose clock only its own work moves."""

import argparse
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tinyprof_agent.drivers.probe.messages import AskLoop, Firmware, HostMessage, Limits, Loop, Model
from tinyprof_agent.soft_board.board import FaultHappened, SoftBoard
from tinyprof_agent.soft_board.facts import Counter, Facts
from tinyprof_agent.soft_board.faults import Faults, parse_fault
from tinyprof_agent.soft_board.outgoing import Outgoing

INSTRUCTION_NS = 8


class Ended(Exception):
    """The other end hung up."""


class Steps:
    """A model whose tokens take so many instructions each; `uneven` more in each further run."""

    firmware = Firmware("virtual", "1", b"\x01\x02", "virtual-engine", "none")
    model = Model("counting", bytes(32), "F32", "f32", 256, "float32")
    eos = 2

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._runs = 0
        self.now_ns = 12_345

    def encode(self, prompt: str) -> list[int]:
        self._runs += 1
        return [1, *prompt.encode()]

    def greedy(self, prompt_tokens: Sequence[int], max_tokens: int) -> Iterator[int]:
        for index in range(max_tokens):
            count = self._options.first if index == 0 else self._options.each
            self.now_ns += (count + self._runs * self._options.uneven) * INSTRUCTION_NS
            time.sleep(self._options.slow_s)
            yield 100 + index

    def text(self, tokens: Sequence[int]) -> bytes:
        return b"".join(b"<%d>" % token for token in tokens)


class LoopingBoard(SoftBoard):
    """A soft board that has the known loop."""

    def __init__(self, steps: Steps, read_back: float, *rest: object) -> None:
        super().__init__(*rest)  # type: ignore[arg-type]
        self._steps, self._read_back = steps, read_back

    def _on_message(self, message: HostMessage) -> None:
        if not isinstance(message, AskLoop):
            return super()._on_message(message)
        before = self._counter()
        self._steps.now_ns += int(message.instructions * self._read_back) * INSTRUCTION_NS
        return self._out.send(Loop(message.nonce, message.instructions, before, self._counter()))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--first", type=int, default=50_000)
    parser.add_argument("--each", type=int, default=10_000)
    parser.add_argument("--uneven", type=int, default=0)
    parser.add_argument("--read-back", type=float, default=1.0)
    parser.add_argument("--slow-s", type=float, default=0.0)
    parser.add_argument("--die-with", help="say this and end before listening")
    parser.add_argument("--die-once", type=Path, help="say that the port is in use and end, the first time")
    parser.add_argument("--fault", action="append", type=parse_fault, default=[])
    options = parser.parse_args()
    if options.die_with:
        sys.exit(options.die_with)
    if options.die_once and not options.die_once.exists():
        options.die_once.touch()
        sys.exit("cannot listen: Address already in use")
    steps, faults = Steps(options), Faults(dict(options.fault))
    with socket.create_server(("127.0.0.1", options.port)) as server:
        line, _ = server.accept()

    def receive() -> bytes:
        line.setblocking(False)
        try:
            data = line.recv(4096)
        except BlockingIOError:
            return b""
        finally:
            line.setblocking(True)
        if not data:
            raise Ended
        return data

    counter = Counter(10**9 // INSTRUCTION_NS, 32, lambda: steps.now_ns)
    facts = Facts(steps.firmware, steps.model, Limits(counter.tick_hz, 32, 512, 256), None)
    outgoing = Outgoing(line.sendall, faults, secrets.SystemRandom())
    board = LoopingBoard(
        steps, options.read_back, facts, steps, counter, outgoing, receive, faults, lambda: secrets.randbits(32)
    )
    try:
        while True:
            steps.now_ns += INSTRUCTION_NS  # it spins, as an emulator does
            try:
                board.attend()
            except FaultHappened as fault:
                while fault.name == "hang":
                    steps.now_ns += INSTRUCTION_NS
                board.restart()
    except (Ended, ConnectionError):
        return


if __name__ == "__main__":
    main()

"""`python -m tinyprof_agent.soft_board --model stories260k-q4_0`: a board in software on a pseudo-terminal.

It prints the terminal's path, and prints it anew when that changes. SIGHUP is its reset button; SIGTERM and SIGINT end
it. With --link its process id is written beside the link, so that --press-reset LINK can find it.
"""

import argparse
import contextlib
import os
import random
import secrets
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tinyprof_agent.drivers.probe.messages import Limits
from tinyprof_agent.soft_board.board import FaultHappened, SoftBoard
from tinyprof_agent.soft_board.facts import Counter, Facts
from tinyprof_agent.soft_board.faults import FaultError, FaultName, Faults, parse_fault
from tinyprof_agent.soft_board.model import CannotLoad, load
from tinyprof_agent.soft_board.outgoing import Outgoing
from tinyprof_agent.soft_board.switches import ResetPressed, Stopped, Switches
from tinyprof_agent.soft_board.terminal import Terminal

WAIT_SECONDS = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a board until it is told to end; returns the exit code: 0, or 1 with one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        if options.press_reset is not None:
            return _press_reset(options.press_reset)
        return _run(options)
    except (CannotLoad, OSError, msgspec.ValidationError) as why:
        print(f"soft board: {why}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tinyprof_agent.soft_board", description=__doc__)
    parser.add_argument(
        "--model", default="stories260k-q4_0", help="a shipped model's name, or the path of a GGUF file"
    )
    parser.add_argument("--activations", choices=("float32", "int8"), default="float32")
    parser.add_argument("--link", type=Path, help="a symbolic link to the terminal, the same at every start")
    parser.add_argument("--id", help="the board's serial number (default: it has none)")
    parser.add_argument("--tick-hz", type=int, default=10**9, help="rate of its counter")
    parser.add_argument("--tick-bits", type=int, default=64, help="width of its counter")
    parser.add_argument("--rx-max", type=int, default=512, help="longest message that it takes, in bytes")
    parser.add_argument("--token-max", type=int, default=4096, help="most tokens of a run")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when stdin is closed")
    parser.add_argument("--fault", action="append", type=_fault, default=[], metavar="NAME[:COUNT]", help="for tests")
    parser.add_argument("--seed", type=int, default=1, help="of the noise of --fault noise")
    parser.add_argument("--press-reset", type=Path, metavar="LINK", help="press the reset button of the board at LINK")
    return parser


def _fault(text: str) -> tuple[FaultName, int]:
    try:
        return parse_fault(text)
    except FaultError as why:
        raise argparse.ArgumentTypeError(str(why)) from None


def _run(options: argparse.Namespace) -> int:
    limits = msgspec.convert((options.tick_hz, options.tick_bits, options.rx_max, options.token_max), Limits)
    generator = load(options.model, options.activations)
    facts = Facts(generator.firmware, generator.model, limits, options.id and options.id[:64])
    faults = Faults(dict(options.fault))
    switches = Switches(end_with_stdin=options.end_with_stdin)
    with contextlib.ExitStack() as cleanup:
        terminal = Terminal(options.link)
        cleanup.callback(terminal.close)
        if options.link is not None:
            process_file = _process_file(options.link)
            process_file.write_text(f"{os.getpid()}\n")
            cleanup.callback(process_file.unlink, missing_ok=True)

        def receive() -> bytes:
            switches.check()
            return terminal.read()

        outgoing = Outgoing(terminal.write, faults, random.Random(options.seed))
        counter = Counter(options.tick_hz, options.tick_bits)
        board = SoftBoard(facts, generator, counter, outgoing, receive, faults, lambda: secrets.randbits(32))
        _serve(board, terminal, switches)
    return 0


def _serve(board: SoftBoard, terminal: Terminal, switches: Switches) -> None:
    terminal.also_wake_on(switches.wake_fd)
    if switches.stdin_fd is not None:
        terminal.also_wake_on(switches.stdin_fd)
    print(terminal.path, flush=True)
    hangs = False
    while True:
        switches.woken_by(terminal.wait(WAIT_SECONDS))
        try:
            switches.check()
            if hangs:
                terminal.read()
            else:
                board.attend()
        except Stopped:
            return
        except ResetPressed:
            hangs = False
            board.restart()
        except FaultHappened as fault:
            hangs = fault.name == "hang"
            if fault.name == "gone":
                terminal.unplug()
                print(terminal.path, flush=True)
            if not hangs:
                board.restart()


def _process_file(link: Path) -> Path:
    return link.with_name(f"{link.name}.pid")


def _press_reset(link: Path) -> int:
    number = int(_process_file(link).read_text())
    os.kill(number, signal.SIGHUP)
    return 0


if __name__ == "__main__":
    sys.exit(main())

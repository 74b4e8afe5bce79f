"""Resetting a board that hangs: by the control lines of its port, or by a command of the agent's own configuration."""

import subprocess
import time
from collections.abc import Sequence

from tinyprof_agent.drivers.driver import BoardError
from tinyprof_agent.serial_port import BytePort

PULSE_SECONDS = 0.1
COMMAND_SECONDS = 30.0


def pulse_lines(port: BytePort) -> None:
    """Holds DTR and RTS for a tenth of a second, as boards with a reset on either want it. Raises BoardError."""
    port.set_lines(dtr=False, rts=True)
    time.sleep(PULSE_SECONDS)
    port.set_lines(dtr=True, rts=False)


def run_command(command: Sequence[str], limit_s: float = COMMAND_SECONDS) -> None:
    """Runs a reset command, without a shell. Raises BoardError: refused, timeout."""
    try:
        done = subprocess.run(
            list(command), stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise BoardError("timeout", f"the reset command {command[0]} did not end within {limit_s:g} s") from None
    except (OSError, ValueError) as why:
        raise BoardError("refused", f"cannot run the reset command {command[0]}: {why}") from None
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())[-160:]
        raise BoardError("refused", f"the reset command {command[0]} failed with {done.returncode}: {said}")

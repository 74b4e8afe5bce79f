"""An MQTT 5 broker for one machine: rumqttd, from the package iotcore, in a process of its own on loopback.

`python -m tinyprof.embedded_broker --port 1883` runs it until it gets a signal; with `--end-with-stdin`, until its
standard input closes too, so that it cannot outlive who started it.
"""

import argparse
import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

READY_TIMEOUT_S = 15.0
MAX_PAYLOAD_BYTES = 300 * 1024

_PANIC = re.compile(rb"^thread '[^'\n]*'[^'\n]* panicked at ", re.MULTILINE)
_CONFIGURATION = """\
id = 0

[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10

[v5.1]
name = "v5-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_payload}
max_inflight_count = 500
dynamic_filters = true
"""


class BrokerFailed(RuntimeError):
    """The embedded broker is not installed or did not come up; the message says what to do."""


def free_port() -> int:
    """A port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class EmbeddedBroker:
    """The broker's process; `start` returns once it accepts connections."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Starts it. Raises BrokerFailed."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tinyprof.embedded_broker", "--port", str(self.port), "--end-with-stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                said = self.process.stderr.read().decode(errors="replace").strip() if self.process.stderr else ""
                raise BrokerFailed(said.splitlines()[-1] if said else "the embedded broker ended at once")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                threading.Thread(target=_drain, args=(self.process,), name="broker-stderr", daemon=True).start()
                return self
            time.sleep(0.02)
        self.stop()
        raise BrokerFailed(f"the embedded broker did not listen on port {self.port} within {READY_TIMEOUT_S:.0f} s")

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._close_pipes()

    def stop(self) -> None:
        """Ends it; may be called twice."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._close_pipes()

    def _close_pipes(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _drain(process: "subprocess.Popen[bytes]") -> None:
    if process.stderr is not None:
        with process.stderr as stderr:
            while stderr.read(4096):
                pass


def _end_with_stdin() -> None:
    """Reads the descriptor itself: a buffer's lock, held by this thread, would abort the interpreter at its end."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os._exit(0)


@contextlib.contextmanager
def _watched_stderr() -> Iterator[None]:
    """What the library says on descriptor 2 goes on to stderr, and the process begins anew once a thread panicked.

    rumqttd 0.20 panics when a client with a will returns under its name before its lost connection is cleared away,
    and with a lock held: it would refuse every connection from then on, and live.
    """
    said, into = os.pipe()
    outside = os.dup(2)
    os.dup2(into, 2)
    os.close(into)
    threading.Thread(target=_pass_on, args=(said, outside), name="watched-stderr", daemon=True).start()
    try:
        yield
    finally:
        os.dup2(outside, 2)


def _pass_on(said: int, outside: int) -> None:
    line = b""
    while data := os.read(said, 65536):
        with contextlib.suppress(OSError):
            os.write(outside, data)
        if _PANIC.search(line + data):
            os.dup2(outside, 2)
            with contextlib.suppress(OSError):
                os.write(2, b"\nthe embedded broker has failed and begins anew\n")
            os.execv(  # noqa: S606  (the same program with the same arguments)
                sys.executable, [sys.executable, "-m", "tinyprof.embedded_broker", *sys.argv[1:]]
            )
        line = (line + data)[(line + data).rfind(b"\n") + 1 :][-1024:]


def main() -> None:
    """Runs the broker in this process."""
    parser = argparse.ArgumentParser(
        prog="python -m tinyprof.embedded_broker", description="An MQTT 5 broker on loopback, until Ctrl-C or SIGTERM."
    )
    parser.add_argument("--port", type=int, default=1883, help="the port that it listens on (default: 1883)")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when stdin is closed")
    options = parser.parse_args()
    port = options.port
    try:
        from iotcore import IotCoreBroker
    except ImportError:
        sys.exit("the embedded broker needs the package iotcore: pip install 'tinyprof[demo]'")
    configuration = _CONFIGURATION.format(port=port, max_payload=MAX_PAYLOAD_BYTES)
    with tempfile.TemporaryDirectory(prefix="tinyprof-broker-") as folder:
        path = Path(folder) / "rumqttd.toml"
        path.write_text(configuration)
        broker = IotCoreBroker(config_path=str(path))
    if options.end_with_stdin:
        threading.Thread(target=_end_with_stdin, name="end-with-stdin", daemon=True).start()
    try:
        with _watched_stderr():
            broker.run_forever()
    except KeyboardInterrupt:
        pass
    except (OSError, RuntimeError) as why:
        sys.exit(f"the embedded broker could not start on port {port}: {why}")


if __name__ == "__main__":
    main()

"""What an agent costs the machine that it runs on: memory, start-up, and CPU when idle.

`python benchmarks/agent.py [--idle-s 20] [--json]` starts the real agent with one `host` board against the embedded
broker and reads /proc: resident memory of the agent's process (at most 45 MB), seconds from the start of the process
until it is connected (at most 1 s), and the share of a core that it takes while it waits (at most 1%). The model's
child is reported beside it, and that it has ended once idle.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tinyprof.embedded_broker import EmbeddedBroker
from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.codec import decode
from tinyprof_protocol.connection import Connection, Hooks, Message
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.topics import agent_topic

MAX_RESIDENT_MB, MAX_START_S, MAX_IDLE_SHARE = 45.0, 1.0, 0.01
NODE = "bench.agent"
CHILD_ENDS_AFTER_S = 3
PATIENCE_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")

_CONFIGURATION = """
site = "bench"
agent = "agent"
broker = "{broker}"
state_dir = "{folder}/state"
[clock]
trust = "always"
[[boards]]
name = "host"
driver = "host"
every_s = 86400.0
[boards.options]
model = "stories260k-q4_0"
idle_end_s = {idle_end_s}
"""


def resident_mb(pid: int, field: str = "VmRSS") -> float:
    """Resident memory of a process, now or (VmHWM) at its peak, in MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def cpu_s(pid: int) -> float:
    """CPU time that a process has taken, in seconds (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def children_of(pid: int) -> list[int]:
    """Pids of a process's children, whichever of its threads started them."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


class Listener:
    """Hears the agent's own status, and when it first came."""

    def __init__(self, url: str) -> None:
        self.status: AgentStatus | None = None
        self.first_at: float | None = None
        self._changed = threading.Condition()
        self._up = threading.Event()
        topic = (agent_topic(NODE, "status"), 1)
        self.connection = Connection(
            parse_broker(url), "benchmark", Hooks(self._hear, self._up.set), subscriptions=[topic]
        )
        self.connection.start()
        if not self._up.wait(PATIENCE_S):
            raise SystemExit("the broker did not let the benchmark in")

    def _hear(self, message: Message) -> None:
        status = decode(message.payload, AgentStatus)
        with self._changed:
            if status.state == "online":
                self.status = status
                self.first_at = self.first_at or time.monotonic()
                self._changed.notify_all()

    def wait(self, what: str, state: str | None) -> None:
        """Until the agent is online and (unless None) its board is in a state."""
        with self._changed:

            def reached() -> bool:
                return self.status is not None and (state is None or self.status.boards[0].state == state)

            if not self._changed.wait_for(reached, PATIENCE_S):
                raise SystemExit(f"waited {PATIENCE_S:.0f} s in vain: {what}")


def measure(idle_s: float) -> dict[str, float | bool]:
    """One agent, from its start until it has idled for `idle_s` seconds."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker() as broker:
        configuration = Path(folder) / "agent.toml"
        configuration.write_text(_CONFIGURATION.format(broker=broker.url, folder=folder, idle_end_s=CHILD_ENDS_AFTER_S))
        listener = Listener(broker.url)
        with (Path(folder) / "log").open("wb") as log:
            started = time.monotonic()
            agent = subprocess.Popen(
                [sys.executable, "-m", "tinyprof_agent", "--config", str(configuration)], stdout=log, stderr=log
            )
        try:
            listener.wait("the agent connects", None)
            start_s = (listener.first_at or 0.0) - started
            listener.wait("the board is measured", "running")
            child_mb = max((resident_mb(child, "VmHWM") for child in children_of(agent.pid)), default=0.0)
            listener.wait("the run ends", "idle")
            child_mb = max([child_mb, *(resident_mb(child, "VmHWM") for child in children_of(agent.pid))])
            deadline = time.monotonic() + PATIENCE_S
            while children_of(agent.pid) and time.monotonic() < deadline:
                time.sleep(0.2)
            child_ended = not children_of(agent.pid)
            before_s, before = cpu_s(agent.pid), time.monotonic()
            time.sleep(idle_s)
            idle_share = (cpu_s(agent.pid) - before_s) / (time.monotonic() - before)
            return {
                "start_s": start_s,
                "resident_mb": resident_mb(agent.pid),
                "resident_peak_mb": resident_mb(agent.pid, "VmHWM"),
                "idle_share": idle_share,
                "child_peak_mb": child_mb,
                "child_ended_when_idle": child_ended,
            }
        finally:
            agent.terminate()
            agent.wait(30)
            listener.connection.stop()


def main() -> int:
    """Prints the figures; 1 if one is over its bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--idle-s", type=float, default=20.0, help="how long to watch it idle [20]")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    found = measure(options.idle_s)
    met = {
        "resident_peak_mb": found["resident_peak_mb"] <= MAX_RESIDENT_MB,
        "start_s": found["start_s"] <= MAX_START_S,
        "idle_share": found["idle_share"] <= MAX_IDLE_SHARE,
        "child_ended_when_idle": bool(found["child_ended_when_idle"]),
    }
    if options.json:
        print(json.dumps({**found, "met": met}))
        return 0 if all(met.values()) else 1
    print(f"start to connected     {found['start_s']:8.2f} s     (at most {MAX_START_S:g})")
    print(f"resident, idle         {found['resident_mb']:8.1f} MB")
    print(f"resident, peak         {found['resident_peak_mb']:8.1f} MB    (at most {MAX_RESIDENT_MB:g})")
    print(f"CPU while idle         {found['idle_share']:8.2%} of a core (at most {MAX_IDLE_SHARE:.0%})")
    print(f"the model's child      {found['child_peak_mb']:8.1f} MB peak, ended when idle: "
          f"{'yes' if found['child_ended_when_idle'] else 'NO'}")  # fmt: skip
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

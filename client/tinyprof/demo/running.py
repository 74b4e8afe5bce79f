"""Starts the demo's parts, watches them, and ends them in order, so that nothing is lost on the way down."""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from tinyprof.demo.figures import DemoFigures, Produced, figures
from tinyprof.demo.plan import NODE, DemoBoard, agent_toml, collector_toml, port_link
from tinyprof.demo.processes import DemoFailed, Part
from tinyprof.demo.watch import AgentWatch
from tinyprof.embedded_broker import EmbeddedBroker
from tinyprof.fleet import Fleet
from tinyprof.fleet_answers import FleetLedger
from tinyprof.fleet_errors import FleetError
from tinyprof_protocol.broker_address import BrokerAddress, parse_broker
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.request_reply import RequestFailed

UP_WITHIN_S = 30.0
DRAIN_WITHIN_S = 20.0
SETTLE_WITHIN_S = 10.0
_POLL_S = 0.1


class Demo:
    """The running demo; a context manager that leaves no process behind.

    `say` is told what is done, a line each; `folder_stays` is what it says of the logs. Raises DemoFailed and
    BrokerFailed.
    """

    def __init__(
        self, boards: Sequence[DemoBoard], folder: Path, say: Callable[[str], None], *, folder_stays: bool
    ) -> None:
        self._boards = list(boards)
        self._folder = folder
        self._folder_stays = folder_stays
        self._say = say
        self._parts: list[Part] = []
        self._cleanup = ExitStack()
        self.broker = EmbeddedBroker()

    @property
    def address(self) -> BrokerAddress:
        """Where its broker is."""
        return parse_broker(self.broker.url)

    @property
    def produced(self) -> Produced:
        """What the agent says that it has made."""
        return self._watch.produced

    @property
    def unstable(self) -> Collection[Sequence[str]]:
        """The verdict's reasons of each unstable run so far."""
        return self._watch.unstable.values()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def _start(self) -> None:
        fate = "stay there" if self._folder_stays else "are removed at the end (--state-dir keeps them)"
        self._say(f"broker at {self.broker.url}; logs in {self._folder} {fate}")
        self._cleanup.callback(self.broker.stop)
        self.broker.start()
        self._start_collector()
        for board in self._boards:
            if board.soft:
                self._start_board(board)
        self._agent = self._start_agent()
        self._watch = AgentWatch(self.address)
        self._cleanup.callback(self._watch.stop)
        self._watch.start()
        self._fleet = self._cleanup.enter_context(Fleet(self.address))
        self._wait_until(self._is_up, UP_WITHIN_S, "the collector and the agent did not come up")
        self._say(f"{some(len(self._boards), 'board')}: {', '.join(board.name for board in self._boards)}")

    def _part(self, name: str, module: str, *arguments: str) -> Part:
        part = Part(name, module, arguments, self._folder)
        # The last one started ends first: the agent, while its boards and the collector still answer it.
        self._cleanup.callback(part.stop)
        self._parts.append(part)
        return part

    def _start_collector(self) -> None:
        path = self._folder / "collector.toml"
        path.write_text(collector_toml(self.broker.url, self._folder))
        self._part("collector", "tinyprof", "collector", "run", "--config", str(path))

    def _start_board(self, board: DemoBoard) -> None:
        link = port_link(self._folder, board)
        options = ("--model", board.model, "--activations", board.activations, "--link", str(link), "--id", board.name)
        self._part(board.name, "tinyprof_agent.soft_board", *options)

    def _start_agent(self) -> Part:
        path = self._folder / "agent.toml"
        path.write_text(agent_toml(self.broker.url, self._folder, self._boards))
        return self._part("agent", "tinyprof", "agent", "run", "--config", str(path))

    # ---- while it runs

    def check(self) -> None:
        """Raises DemoFailed if a part has ended by itself."""
        if self.broker.process is not None and self.broker.process.poll() is not None:
            raise DemoFailed("the broker ended by itself")
        for part in self._parts:
            part.check()

    def figures_now(self) -> DemoFigures | None:
        """The figures so far, of the store's own count too; None where the collector does not answer."""
        try:
            return self._figures(self._fleet.ledger(verify=True, node=NODE))
        except (FleetError, RequestFailed):
            return None

    def _is_up(self) -> bool:
        if not self._watch.online:
            return False
        try:
            return any(view.status.node == NODE for reply in self._fleet.status().collectors.values()
                       for view in reply.agents)  # fmt: skip
        except (FleetError, RequestFailed):
            return False

    def _wait_until(self, done: Callable[[], bool], within_s: float, otherwise: str) -> None:
        deadline = time.monotonic() + within_s
        while not done():
            self.check()
            if time.monotonic() > deadline:
                where = f"are in {self._folder}" if self._folder_stays else "are kept with --state-dir DIRECTORY"
                raise DemoFailed(f"{otherwise} within {within_s:.0f} s; their logs {where}")
            time.sleep(_POLL_S)

    # ---- the way down

    def finish(self) -> DemoFigures:
        """Stops the agent, which drains its spool, then asks the collector's stores what they hold."""
        self.check()
        self._say("stopping: the agent drains its spool")
        self._agent.stop(DRAIN_WITHIN_S)
        deadline = time.monotonic() + SETTLE_WITHIN_S
        while True:
            self.check()
            late = time.monotonic() > deadline
            try:
                found = self._figures(self._fleet.ledger(verify=True, node=NODE))
            except (FleetError, RequestFailed):
                if late:
                    raise
            else:
                if late or (found.ledger_ok and not found.in_spool):
                    return found
            time.sleep(_POLL_S)

    def _figures(self, ledger: FleetLedger) -> DemoFigures:
        boards = [board for board in self._fleet.boards().boards if board.node == NODE]
        return figures(self._watch.produced, ledger.rows, boards, ledger.ok)


def missing_packages(*, dashboard: bool, find: Callable[[str], object] = find_spec) -> list[str]:
    """Packages that the demo needs and that `find` does not find."""
    wanted = ["iotcore", "numpy", *(["textual"] if dashboard else [])]
    return [name for name in wanted if find(name) is None]

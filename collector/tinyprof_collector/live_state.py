"""What the collector knows of the fleet right now: agents, boards, its own health.

Decisions are pure and elsewhere; this puts them together behind one lock, held for short computations only, because
three threads come here: the pipeline with stored records, the control thread, and the answers to clients.
What is to be published is returned, never sent.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tinyprof_collector.board_history import BoardKey, history_of
from tinyprof_collector.config import Config
from tinyprof_collector.delivery_report import Waits, with_agents
from tinyprof_collector.forgotten import Forgotten
from tinyprof_collector.health import (
    Assessment,
    CollectorFacts,
    MissingSince,
    NodeLedger,
    agent_health,
    collector_health,
    store_health,
)
from tinyprof_collector.news import News
from tinyprof_collector.peers import Peers, by_collector
from tinyprof_collector.presence import Agent, Presence
from tinyprof_collector.replies import CannotAnswer, check_board, counted_by_health
from tinyprof_collector.stores.store import BoardLatest
from tinyprof_collector.summaries import MAX_AT_ONCE, Summaries, page
from tinyprof_protocol.bounds import MAX_COUNT
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import AgentStatus, BoardSummary, CollectorStatus, Regression
from tinyprof_protocol.requests import AgentView, BoardsReply, BoardsRequest, LedgerReply, StatusReply

MAX_COUNTERS = 128
MAX_COUNTER_NAME = 48
MAX_REGRESSIONS = 256
MAX_LINE = 300


@dataclass(frozen=True, slots=True)
class PipelineView:
    """What the pipeline's thread last said of itself; read by the others."""

    stores: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with each store; empty for one that works."""
    state_error: str = ""
    counters: Mapping[str, int] = field(default_factory=dict)
    totals: Mapping[str, int] = field(default_factory=dict)
    """Sum of every ledger class."""
    missing: Mapping[str, int] = field(default_factory=dict)
    """By node."""
    quarantined: Mapping[str, int] = field(default_factory=dict)
    """By node."""
    holding_s: float | None = None
    """For how long nothing has been acknowledged."""
    waiting: int = 0
    """Batches received and not yet answered."""


@dataclass(frozen=True, slots=True)
class LinkView:
    """What the connection and the threads say of themselves."""

    connected: bool = False
    clash: bool = False
    subscriptions_refused: int = 0
    dead_threads: tuple[str, ...] = ()


class KnowsRegressions(Protocol):
    """Whoever watches for regressions; its methods wait for nothing."""

    def of(self, board: BoardKey) -> list[Regression]:
        """What stands for a board, newest first."""

    def standing(self) -> list[Regression]:
        """What stands for all boards, newest first."""


class LiveState:
    """The fleet as it is now."""

    def __init__(
        self,
        config: Config,
        started_ns: int,
        version: str,
        sack_lag_ms: Callable[[str], float | None] | None = None,
        more_counts: Callable[[], Mapping[str, int]] = dict,
        forgotten: Forgotten | None = None,
        lookout: KnowsRegressions | None = None,
    ) -> None:
        """`sack_lag_ms` says how long a node's batches wait for their acknowledgement; `more_counts` what others count.

        Both are asked with the lock held. `forgotten` is what an earlier start was told to forget; `lookout` knows what
        has regressed.
        """
        self._config = config
        self._sack_lag_ms = sack_lag_ms
        self._more_counts = more_counts
        self._started_ns = started_ns
        self._version = version
        self._lock = threading.Lock()
        self._presence = Presence()
        self._lookout = lookout
        self._summaries = Summaries(config.health)
        if lookout is not None:
            self._summaries.regressions_of = lookout.of
        self._forgotten = Forgotten() if forgotten is None else forgotten
        self._forgotten_written = threading.Lock()
        self._peers = Peers()
        self._missing = MissingSince()
        self._pipeline = PipelineView()
        self._link = LinkView()
        self._taken: dict[int, str] = {}

    # ---- what comes in

    def restore(self, boards: Iterable[BoardLatest], now_ns: int) -> None:
        """Takes what the store knows of the boards, at the start, but for those that were forgotten since."""
        with self._lock:
            for latest in boards:
                key, history = (latest.node, latest.board), history_of(latest, now_ns)
                if not self._forgotten.covers(key, history.last_seen_ns or 0):
                    self._forgotten.heard(key)
                    self._summaries.restore(key, history)

    def hear(self, status: AgentStatus, now_ns: int, *, retained: bool) -> bool:
        """Takes an agent's status; False where there is no room for one more agent."""
        with self._lock:
            if self._is_left(status.node):
                return False
            before = self._presence.agents.get(status.node)
            listed = set(before.boards) if before else set()
            agent = self._presence.hear(status, now_ns, retained=retained)
            if agent is None:
                return False
            for board in list(agent.boards):
                # A retained status may be from before: the broker says again what it was told long ago.
                if self._forgotten.covers((status.node, board), agent.heard_ns):
                    self._presence.forget(status.node, board)
                else:
                    self._forgotten.heard((status.node, board))
            self._summaries.touch((status.node, board) for board in listed | set(agent.boards))
            return True

    def hear_peer(self, status: CollectorStatus, now_ns: int, *, retained: bool) -> None:
        """Takes the status of another collector."""
        with self._lock:
            self._peers.hear(status, now_ns, retained=retained)

    def leave(self, taken: Mapping[int, str]) -> None:
        """Partitions that other collectors have claimed after us, with their ids: nothing of them is told any more."""
        with self._lock:
            self._taken = dict(taken)
            if taken:
                self._presence.let_go(self._is_left)
                self._summaries.let_go(self._is_left)

    def stored(self, news: Iterable[News], now_ns: int) -> None:
        """Takes what records say that the stores have just got. What they held before was counted when it was new.

        What was made before its board was forgotten, and comes out of a backlog now, does not bring the board back.
        """
        with self._lock:
            for one in news:
                for key, said in one.boards.items():
                    skew_ns = self._skew_ns(key[0])
                    if self._forgotten.covers(key, (said.last_seen_ns or 0) - skew_ns):
                        continue
                    if not self._is_left(key[0]):
                        self._summaries.stored(key, said, now_ns, skew_ns)
                    self._forgotten.heard(key)

    def forget(self, node: str, board: str, now_ns: int) -> bool:
        """Takes a board out of the fleet's view until its next word; False where it was not in it.

        Returns once that would survive a loss of power. Raises ForgottenFailed.
        """
        with self._lock:
            known = self._summaries.forget((node, board))
            if known:
                self._presence.forget(node, board)
                self._forgotten.forget((node, board), now_ns)
        self.keep_forgotten()
        return known

    def keep_forgotten(self) -> None:
        """Writes down which boards are forgotten, if that has changed. Raises ForgottenFailed."""
        with self._forgotten_written:
            with self._lock:
                data = self._forgotten.to_write()
            if data is not None:
                self._forgotten.write(data)

    def to_clear(self) -> list[BoardKey]:
        """Boards whose retained summaries the broker must let go of, once each."""
        with self._lock:
            return self._forgotten.take_to_clear()

    def uncleared(self, keys: list[BoardKey]) -> None:
        """Boards of which the broker could not be told."""
        with self._lock:
            self._forgotten.uncleared(keys)

    def check_board(self, node: str, board: str) -> None:
        """Raises CannotAnswer, with the nearest names, for a board that is not known, or is another collector's."""
        with self._lock:
            if partition_of(node) not in self._config.partitions or self._is_left(node):
                raise CannotAnswer(
                    "elsewhere", f"another collector serves partition {partition_of(node):02d}; ask there"
                )
            if (node, board) in self._summaries.boards:
                return
            known = list(self._summaries.boards)
        check_board(node, board, known)

    def agents(self) -> Mapping[str, Agent]:
        """All agents that are known, as they change: a look at one waits for nobody, a walk wants a copy."""
        return self._presence.agents

    def note_pipeline(self, view: PipelineView, now_ns: int) -> None:
        """Takes what the pipeline says of itself."""
        with self._lock:
            self._pipeline = view
            self._missing.note(view.missing, now_ns)

    def note_link(self, link: LinkView) -> None:
        """Takes what the connection and the threads say of themselves."""
        with self._lock:
            self._link = link

    def connected(self) -> None:
        """The broker may have forgotten everything: all summaries are due anew."""
        with self._lock:
            self._summaries.forget_published()
            self._forgotten.connected()

    # ---- what time brings

    def look_again(self) -> None:
        """Every board's health is judged again: it may have fallen silent."""
        with self._lock:
            self._summaries.touch_all()

    def due_summaries(self, now_ns: int, now_s: float, most: int = MAX_AT_ONCE) -> list[BoardSummary]:
        """Summaries to publish now, at most so many."""
        with self._lock:
            return self._summaries.due(self._presence, now_ns, now_s, most)

    def summaries_waiting(self) -> int:
        """How many boards may have a summary that is due."""
        with self._lock:
            return self._summaries.waiting()

    def unpublished(self, summaries: Iterable[BoardSummary]) -> None:
        """Summaries that could not be handed to the broker."""
        with self._lock:
            for summary in summaries:
                self._summaries.unpublished(summary)

    # ---- what is told

    def boards(self) -> list[BoardKey]:
        """Node and name of every board that is known."""
        with self._lock:
            return list(self._summaries.boards)

    def boards_page(self, asked: BoardsRequest, now_ns: int) -> BoardsReply:
        """A page of summaries."""
        with self._lock:
            boards, total = page(
                self._summaries.boards,
                asked.node,
                asked.offset,
                asked.limit,
                lambda key: self._summaries.summary(key, self._presence, now_ns),
            )
        return BoardsReply(boards, total)

    def collector_status(self, now_ns: int) -> CollectorStatus:
        """The collector's own status, as it is published."""
        with self._lock:
            return self._collector_status(now_ns)

    def with_agents(self, reply: LedgerReply, node: str | None, waits: Waits, now_ns: int) -> LedgerReply:
        """A reply about the ledger with how the records of an agent, or of all, come through."""
        with self._lock:
            agents = {name: agent for name, agent in self._presence.agents.items() if node in (None, name)}
            return with_agents(reply, agents, waits, now_ns, self._config.health.stale_intervals)

    def status_reply(self, now_ns: int) -> StatusReply:
        """The collector, its agents, and its boards by health."""
        with self._lock:
            agents = [self._agent_view(node, now_ns) for node in sorted(self._presence.agents)]
            healths = [self._summaries.summary(key, self._presence, now_ns).health for key in self._summaries.boards]
            totals = {name: min(value, MAX_COUNT) for name, value in self._pipeline.totals.items()}
            regressions = self._lookout.standing()[:MAX_REGRESSIONS] if self._lookout is not None else []
            return StatusReply(
                self._collector_status(now_ns), agents, counted_by_health(healths), totals, regressions=regressions
            )

    def agent_healths(self, now_ns: int) -> dict[str, Assessment]:
        """How each agent is."""
        with self._lock:
            return {node: self._assess_agent(node, now_ns) for node in self._presence.agents}

    def healths(self, now_ns: int) -> tuple[dict[str, int], dict[str, int]]:
        """How many agents and how many boards there are of each health."""
        with self._lock:
            agents = [self._assess_agent(node, now_ns).health for node in self._presence.agents]
            boards = [self._summaries.summary(key, self._presence, now_ns).health for key in self._summaries.boards]
        return counted_by_health(agents), counted_by_health(boards)

    def view(self) -> PipelineView:
        """What the pipeline last said of itself."""
        return self._pipeline

    def link(self) -> LinkView:
        """What the connection last said of itself."""
        return self._link

    def counters(self) -> dict[str, int]:
        """What hit a bound here, and all that others count."""
        with self._lock:
            return {
                **self._pipeline.counters,
                **self._presence.counts,
                **self._summaries.counts,
                **self._forgotten.counts,
                **self._more_counts(),
            }

    # ---- with the lock held

    def _is_left(self, node: str) -> bool:
        return bool(self._taken) and partition_of(node) in self._taken

    def _skew_ns(self, node: str) -> int:
        agent = self._presence.agents.get(node)
        return int((agent.skew_ms or 0.0) * 1e6) if agent else 0

    def _agent_view(self, node: str, now_ns: int) -> AgentView:
        agent = self._presence.agents[node]
        found = self._assess_agent(node, now_ns)
        lag_ms = self._sack_lag_ms(node) if self._sack_lag_ms is not None else None
        return AgentView(agent.status, found.health, list(found.reasons), agent.heard_ns, agent.skew_ms, lag_ms)

    def _assess_agent(self, node: str, now_ns: int) -> Assessment:
        ledger = NodeLedger(
            self._pipeline.missing.get(node, 0),
            self._missing.for_s(node, now_ns),
            self._pipeline.quarantined.get(node, 0),
        )
        return agent_health(self._presence.agents[node], ledger, now_ns, self._config.health)

    def _collector_status(self, now_ns: int) -> CollectorStatus:
        view, link = self._pipeline, self._link
        served = [partition for partition in sorted(self._config.partitions) if partition not in self._taken]
        found = collector_health(
            CollectorFacts(
                stores=view.stores,
                missing=sum(view.missing.values()),
                missing_for_s=self._missing.longest_s(now_ns),
                quarantined=view.counters.get("quarantine_kept", 0),
                discarded=view.counters.get("quarantine_discarded", 0),
                subscriptions_refused=link.subscriptions_refused,
                id_clash=link.clash,
                dead_threads=link.dead_threads,
                state_error=view.state_error,
                overlaps=self._peers.overlaps(served, now_ns, self._config.health.stale_intervals),
                taken=by_collector(self._taken),
            ),
            self._config.health,
        )
        counters = sorted({**view.counters, **self._more_counts()}.items())[:MAX_COUNTERS]
        return CollectorStatus(
            id=self._config.id,
            state="online",
            version=self._version,
            time_ns=now_ns,
            started_ns=self._started_ns,
            interval_s=self._config.status_interval_s,
            partitions=served,
            health=found.health,
            reasons=list(found.reasons),
            stores={name: store_health(why) for name, why in view.stores.items()},
            counters={name[:MAX_COUNTER_NAME]: min(max(value, 0), MAX_COUNT) for name, value in counters},
            store_errors={name: why[:MAX_LINE] for name, why in view.stores.items() if why},
            state_error=view.state_error[:MAX_LINE],
            holding_s=view.holding_s,
            waiting=view.waiting,
        )

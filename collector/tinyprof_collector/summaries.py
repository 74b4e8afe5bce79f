"""Summaries of boards: what a row of the fleet's table shows, made of stored records, presence and health.

A summary is published when it changed, at most once a second for each board, and all anew on each connect.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from msgspec.structs import replace

from tinyprof_collector.board_history import BoardHistory, BoardKey
from tinyprof_collector.config import HealthConfig
from tinyprof_collector.health import BoardFacts, board_health
from tinyprof_collector.presence import Presence
from tinyprof_protocol.bounds import MAX_COUNT
from tinyprof_protocol.codec import pack
from tinyprof_protocol.presence import BoardSummary, Regression
from tinyprof_protocol.records import Result

MIN_INTERVAL_S = 1.0
MAX_BOARDS = 20_000
MAX_AT_ONCE = 200
"""Summaries due at a time, so that acknowledgements find room in the connection between them."""
MAX_REGRESSIONS = 8
"""As many as a summary holds."""
MAX_LOOKED_AT = 1000
"""Boards looked at in one call, so that none takes long."""


@dataclass(slots=True)
class _Shown:
    digest: bytes
    """Of the summary but its time: of 10,000 summaries the digests are a tenth of the memory."""
    published_s: float


@dataclass(slots=True)
class Summaries:
    """The histories of all boards, and which summaries are due. Times are arguments; nothing is published here."""

    rules: HealthConfig
    regressions_of: Callable[[BoardKey], list[Regression]] = lambda _: []
    """What stands for a board, newest first."""
    boards: dict[BoardKey, BoardHistory] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    """boards_over_bound: boards that there was no room for."""
    _touched: set[BoardKey] = field(default_factory=set)
    _shown: dict[BoardKey, _Shown] = field(default_factory=dict)

    def stored(self, key: BoardKey, said: BoardHistory, now_ns: int, skew_ns: int = 0) -> None:
        """Takes what records that the stores have say of a board. `skew_ns` is how far the agent's clock is ahead."""
        history = self._history(key)
        if history is not None:
            # When it was made, by the collector's clock: a backlog that arrives now says nothing of now.
            history.merge(said, min(now_ns, (said.last_seen_ns or 0) - skew_ns))

    def restore(self, key: BoardKey, history: BoardHistory) -> None:
        """Takes a board's history as the store had it at the start."""
        if self._history(key) is not None:
            self.boards[key] = history

    def let_go(self, is_left: Callable[[str], bool]) -> None:
        """Forgets the boards of nodes that are no longer ours; what is published of them stays as it is."""
        for key in [key for key in self.boards if is_left(key[0])]:
            del self.boards[key]
            self._shown.pop(key, None)
            self._touched.discard(key)

    def forget(self, key: BoardKey) -> bool:
        """Lets go of all that is known of a board; False where nothing is. It begins anew with its next word."""
        self._touched.discard(key)
        self._shown.pop(key, None)
        return self.boards.pop(key, None) is not None

    def touch(self, keys: Iterable[BoardKey]) -> None:
        """Boards whose presence or health may have changed."""
        for key in keys:
            self._history(key)

    def touch_all(self) -> None:
        """For changes that come with time alone: silence."""
        self._touched.update(self.boards)

    def forget_published(self) -> None:
        """On each connect: a broker that restarted remembers nothing, so all are due anew."""
        self._shown.clear()
        self._touched.update(self.boards)

    def due(self, presence: Presence, now_ns: int, now_s: float, most: int = MAX_AT_ONCE) -> list[BoardSummary]:
        """Summaries to publish now, at most `most`: changed since last published, and not within the last second.

        `now_s` is a monotonic clock. What is changed but too soon stays due for the next call.
        """
        due: list[BoardSummary] = []
        later = set()
        for _ in range(min(len(self._touched), MAX_LOOKED_AT)):
            if len(due) >= most:
                break
            key = self._touched.pop()
            shown = self._shown.get(key)
            if shown is not None and now_s - shown.published_s < MIN_INTERVAL_S:
                later.add(key)
                continue
            summary = self.summary(key, presence, now_ns)
            digest = _digest(summary)
            if shown is not None and digest == shown.digest:
                continue
            self._shown[key] = _Shown(digest, now_s)
            due.append(summary)
        self._touched |= later
        return due

    def waiting(self) -> int:
        """How many boards are still to be looked at."""
        return len(self._touched)

    def unpublished(self, summary: BoardSummary) -> None:
        """Tells that a summary could not be handed to the broker: it is due again."""
        key = (summary.node, summary.board)
        self._shown.pop(key, None)
        self._touched.add(key)

    def summary(self, key: BoardKey, presence: Presence, now_ns: int) -> BoardSummary:
        """A board as it is now."""
        node, name = key
        history = self.boards.get(key) or BoardHistory()
        listed = presence.board(node, name)
        shown = history.shown()
        result = shown.result
        regressions = self.regressions_of(key)[:MAX_REGRESSIONS]
        assessment = board_health(self._facts(key, history, presence, regressions, now_ns), now_ns, self.rules)
        summary = BoardSummary(
            node=node,
            board=name,
            health=assessment.health,
            reasons=list(assessment.reasons),
            time_ns=now_ns,
            last_result_ns=None if result is None else shown.result_ns,
            last_seen_ns=history.last_seen_ns,
            readings={} if history.sample is None else history.sample.readings,
            spark=shown.newest.decode_tps(),
            results=min(sum(history.verdicts.values()), MAX_COUNT),
            valid=history.verdicts.get("valid", 0),
            unstable=history.verdicts.get("unstable", 0),
            invalid=history.verdicts.get("invalid", 0),
            regressions=regressions,
        )
        if result is not None:
            summary = _with_result(summary, result)
        if listed is not None:
            summary = replace(
                summary,
                driver=listed.driver,
                platform=summary.platform or listed.platform,
                model=summary.model or listed.model,
                emulated=summary.emulated or listed.emulated,
                state=listed.state,
                interval_s=listed.interval_s,
                labels=listed.labels,
            )
        return summary

    def _facts(
        self, key: BoardKey, history: BoardHistory, presence: Presence, regressions: list[Regression], now_ns: int
    ) -> BoardFacts:
        node, name = key
        agent, shown = presence.agents.get(node), history.shown()
        result = shown.result
        return BoardFacts(
            agent=None if agent is None else agent.liveness(now_ns, self.rules.stale_intervals),
            presence=presence.board(node, name),
            since_ns=0 if agent is None else agent.board_since_ns.get(name, 0),
            last_seen_ns=history.last_seen_ns,
            verdict=None if result is None else result.verdict,
            verdict_reasons=() if result is None else result.reasons,
            invalid_streak=shown.newest.invalid_streak(),
            regressions=regressions,
        )

    def _history(self, key: BoardKey) -> BoardHistory | None:
        """The board's history, and it is looked at again; None where there is no room for one more board."""
        history = self.boards.get(key)
        if history is None:
            if len(self.boards) >= MAX_BOARDS:
                self.counts["boards_over_bound"] = self.counts.get("boards_over_bound", 0) + 1
                return None
            history = self.boards[key] = BoardHistory()
        self._touched.add(key)
        return history


def _digest(summary: BoardSummary) -> bytes:
    return blake2b(pack(replace(summary, time_ns=0)), digest_size=16).digest()


def _with_result(summary: BoardSummary, result: Result) -> BoardSummary:
    build = result.build
    return replace(
        summary,
        platform=build.platform,
        stands_for=build.stands_for,
        emulated=build.emulated,
        model=build.model,
        quantisation=build.quantisation,
        engine=build.engine,
        verdict=result.verdict,
        golden=result.golden,
        figures=result.figures,
    )


def page(
    keys: Iterable[BoardKey], node: str | None, offset: int, limit: int, make: Callable[[BoardKey], BoardSummary]
) -> tuple[list[BoardSummary], int]:
    """A page of summaries by node and board, and how many there are in all."""
    wanted = sorted(key for key in keys if node is None or key[0] == node)
    return [make(key) for key in wanted[offset : offset + limit]], len(wanted)

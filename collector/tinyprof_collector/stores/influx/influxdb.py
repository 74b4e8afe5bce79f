"""The `influxdb` store: InfluxDB 1.8+, 2.x and 3, by lines of our own posted to `/api/v2/write`.

A record's series and time never change, so that one that is written again overwrites itself. Agents are dealt out to as
many posts at once as the configuration allows, each agent to one of them: while one list is on its way, lines of the
next are made.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import groupby
from typing import cast

from tinyprof_collector.config import InfluxConfig
from tinyprof_collector.ledger import StoreCount
from tinyprof_collector.stores.influx.answers import meaning_of, reason_of
from tinyprof_collector.stores.influx.cardinality import SeriesGuard
from tinyprof_collector.stores.influx.line_protocol import FixedParts, canary_line
from tinyprof_collector.stores.influx.lines import Line, lines_of
from tinyprof_collector.stores.influx.posting import Poster
from tinyprof_collector.stores.influx.provision import kept_seconds
from tinyprof_collector.stores.influx.queries import batched, count_of, seqs_between
from tinyprof_collector.stores.influx.reading import InfluxReader
from tinyprof_collector.stores.influx.regression_lines import regression_line
from tinyprof_collector.stores.influx.server import InfluxServer, Rows
from tinyprof_collector.stores.influx.suspects import LINES_APART, TURNS_AT_ONCE, Suspects
from tinyprof_collector.stores.store import Answer, Arrival, Refused, StoreFailed
from tinyprof_protocol.bounds import MAX_SEQ
from tinyprof_protocol.presence import Regression

log = logging.getLogger(__name__)

MAX_KNOWN_EPOCHS = 100_000
APART_FROM_LINES = 500
"""A list shorter than this goes in one post."""
QUESTIONS_AT_ONCE = 50
"""Epochs that are looked for in one request; its address stays under 16 KB."""
ASK_RETENTION_EVERY_S = 60.0
TOO_MANY_SERIES = "a new series past 1,000 of this agent today: its tags take too many values"


@dataclass(slots=True)
class _Work:
    """A list on its way: each thread writes answers of records of its own alone."""

    arrivals: Sequence[Arrival]
    lines: list[Line]
    owners: list[str]
    times_ns: list[int]
    answers: list[Answer | None]
    struck: list[str] = field(default_factory=list)
    """Nodes of lines that were refused."""

    def answer(self, which: Iterable[int], answer: Answer) -> None:
        """This became of them."""
        for n in which:
            self.answers[n] = answer


class InfluxStore:
    """Writes from one thread, with helpers of its own; `prepare` and `read` may be called from any."""

    name = "influxdb"

    def __init__(
        self,
        config: InfluxConfig,
        collector: str = "main",
        *,
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Asks nothing yet. Raises StoreFailed where the token file cannot be read."""
        self._server = InfluxServer(config)
        self._config = config
        self._clock = clock
        self._monotonic = monotonic
        self._poster = Poster(self._server, config.max_lines, lambda: canary_line(collector, clock()))
        self._lanes = ThreadPoolExecutor(config.posts_at_once, thread_name_prefix="influxdb")
        self._suspects = Suspects()
        self._guard = SeriesGuard()
        self._fixed = FixedParts()
        self._preparing = threading.Lock()
        """One list may be made ahead while another one, that was not, is written."""
        self._seen: set[tuple[str, bytes]] = set()
        """Epochs whose first lines were looked for."""
        self._held: dict[tuple[str, bytes], frozenset[int]] = {}
        """Of them, those of which something was there, with the seqs."""
        self._error: str | None = None
        self._newest_ns = 0
        self._retention_ns: int | None = None
        self._asked_s: float | None = None

    # ---- the store's four promises

    def check(self) -> str | None:
        """What is wrong, in a line; None if the last write went well."""
        return self._error

    def prepare(self, arrivals: Sequence[Arrival]) -> bool:
        """Makes the lines. They are all that is written: the decoded records are not wanted any more."""
        with self._preparing:
            lines = lines_of(arrivals, self._fixed, self._config.details)
        for arrival, line in zip(arrivals, lines, strict=True):
            arrival.prepared = line
        return True

    def write(self, arrivals: Sequence[Arrival]) -> list[Answer]:
        """Posts all; an agent whose lines are refused is posted apart, and is told `later` where it has no turn.

        Raises StoreFailed; some may be written then, and are overwritten with themselves when they come again.
        """
        try:
            self._ask_retention()
            answers = self._write(arrivals)
        except StoreFailed as why:
            self._error = str(why)
            raise
        self._error = None
        return answers

    def read(self) -> InfluxReader:
        """A reader; it holds nothing open."""
        return InfluxReader(self._server)

    def count(self, node: str, epoch: bytes | None = None, first: int = 1, last: int = MAX_SEQ) -> StoreCount:
        """Records of a node, an epoch or some seqs of it that are there. What retention deleted is not counted here.

        Raises StoreFailed.
        """
        answers = self._server.query(count_of(node, epoch, first, last))
        held = sum(int(row[1]) for series in answers for one in series for row in one.values)
        return StoreCount(held, counts_deleted=False)

    def close(self) -> None:
        """Ends the helpers and lets go of the connections."""
        self._lanes.shutdown(wait=True, cancel_futures=True)
        self._server.close()

    def check_at_start(self) -> str | None:
        """What is wrong with server, bucket or token, in a line; None if lines and questions are taken."""
        answer = self._server.write([canary_line("start", self._clock())])
        if answer.status != 204:
            self._error = str(self._server.failed(answer))
            return self._error
        try:
            self._server.query(count_of("none.none", bytes(16), 1, 1))
        except StoreFailed as why:
            self._error = str(why)
            return self._error
        return None

    def keep_regressions(self, found: Sequence[Regression]) -> int:
        """Writes changes of boards' levels, each once however often it comes. Raises StoreFailed.

        Returns how many the server will never take, such as one from before its retention.
        """
        refused = 0
        for one in found:
            answer = self._server.write([regression_line(one)])
            meaning = meaning_of(answer)
            if meaning == "hold":
                raise self._server.failed(answer)
            if meaning != "written":
                refused += 1
                log.warning("a change of %s/%s is not in InfluxDB: %s", one.node, one.board, reason_of(answer))
        return refused

    # ---- writing

    def _write(self, arrivals: Sequence[Arrival]) -> list[Answer]:
        self.prepare([arrival for arrival in arrivals if arrival.prepared is None])
        lines = cast("list[Line]", [arrival.prepared for arrival in arrivals])
        owners, times_ns = [arrival.node for arrival in arrivals], [line.time_ns for line in lines]
        work = _Work(arrivals, lines, owners, times_ns, [None] * len(arrivals))
        several = len(arrivals) >= APART_FROM_LINES
        lanes: list[list[int]] = [[] for _ in range(self._config.posts_at_once if several else 1)]
        apart = self._deal_out(work, lanes)
        try:
            self._post_lanes(lanes, work)
            self._post_apart(apart, work)
        finally:
            for node in set(work.struck):
                self._suspects.strike(node, self._monotonic())
        stored = [time_ns for time_ns, to in zip(times_ns, work.answers, strict=True) if to == "stored"]
        self._newest_ns = max(self._newest_ns, max(stored, default=0))
        return ["later" if answer is None else answer for answer in work.answers]

    def _deal_out(self, work: "_Work", lanes: list[list[int]]) -> dict[str, list[int]]:
        """Deals the records that may be posted out to the lanes, each agent's to one; the others have their answer.

        Returns those of suspected agents. Notes the series of each.
        """
        oldest_ns, now_ns = self._oldest_ns(work.times_ns), self._clock()
        apart: dict[str, list[int]] = {}
        lane_of: dict[str, list[int]] = {}
        end = 0
        for node, its in groupby(work.owners):
            first, end = end, end + len(list(its))
            is_suspected = node in self._suspects
            if is_suspected:
                place = apart.setdefault(node, [])
            else:
                if node not in lane_of:
                    lane_of[node] = min(lanes, key=len)  # the list is written when its longest lane is
                place = lane_of[node]
            going: Sequence[int] = range(first, end)
            if oldest_ns is not None and min(work.times_ns[first:end]) < oldest_ns:
                work.answer([n for n in going if work.times_ns[n] < oldest_ns], "expired")
                going = [n for n in going if work.answers[n] is None]
            heads = dict.fromkeys(work.lines[n].head for n in going)  # in the order of the records
            over = {head for head in heads if not self._guard.admits(node, head, now_ns)}
            if over:
                work.answer([n for n in going if work.lines[n].head in over], Refused(TOO_MANY_SERIES))
                going = [n for n in going if work.answers[n] is None]
            place.extend(going)
        return apart

    def _post_lanes(self, lanes: list[list[int]], work: "_Work") -> None:
        """Each lane in a thread of its own where there are several."""
        if len(lanes) == 1:
            self._post(lanes[0], work)
            return
        running = [self._lanes.submit(self._post, lane, work) for lane in lanes if lane]
        wait(running)
        while running:
            # A lane that failed is let go of first: else its error and this frame hold each other, and all the lines.
            running.pop().result()

    def _post_apart(self, apart: dict[str, list[int]], work: "_Work") -> None:
        """Suspected agents: a few a list, each alone and at its turn. The others wait, and their agents send again."""
        turns = [node for node in apart if self._suspects.has_turn(node, self._monotonic())]
        for node in turns[:TURNS_AT_ONCE]:
            self._post(apart[node][:LINES_APART], work)
            if node not in work.struck:
                self._suspects.clear(node, self._monotonic())

    def _post(self, lane: list[int], work: "_Work") -> None:
        """Posts the lines of a lane, some at a time."""
        self._look_for(lane, work)
        held, size = self._held, self._poster.max_lines
        for begin in range(0, len(lane), size):
            some = lane[begin : begin + size]
            if not all(work.lines[n].text for n in some):
                some = [n for n in some if self._may_be_posted(n, work)]
            if some:
                self._post_lines(some, work)
            if held:
                # What was there is written once more: a server shows what it could not write to its disk, too.
                work.answer([n for n in some if work.answers[n] == "stored" and self._is_held(n, work, held)], "held")

    def _may_be_posted(self, n: int, work: "_Work") -> bool:
        """Whether a record is not unwritable; else it has its answer."""
        line = work.lines[n]
        if line.unwritable:
            work.answers[n] = Refused(f"the store {self.name} cannot hold it: {line.unwritable}")
        return not line.unwritable

    def _is_held(self, n: int, work: "_Work", held: dict[tuple[str, bytes], frozenset[int]]) -> bool:
        arrival = work.arrivals[n]
        return arrival.seq in held.get((arrival.node, arrival.epoch), ())

    def _post_lines(self, posted: list[int], work: "_Work") -> None:
        texts = [work.lines[n].text for n in posted]
        times_ns, owners = [work.times_ns[n] for n in posted], [work.owners[n] for n in posted]
        plan = self._poster.post(texts, times_ns, owners, work.struck)
        work.answer([posted[at] for at in plan.written], "stored")
        if plan.expired:
            work.answer([posted[at] for at in plan.expired], "expired")
            self._asked_s = None
        for at, reason in plan.refused.items():
            work.answers[posted[at]] = Refused(f"the store {self.name} refuses it: {reason}")

    def _look_for(self, lane: list[int], work: "_Work") -> None:
        """Asks for epochs that are new to this process: what is there was written before a kill and never accounted."""
        coming: dict[tuple[str, bytes], list[int]] = {}
        node, epoch, is_new = "", b"", False
        for n in lane:
            arrival = work.arrivals[n]
            if arrival.epoch is not epoch or arrival.node is not node:
                node, epoch = arrival.node, arrival.epoch
                is_new = (node, epoch) not in self._seen
            if is_new:
                coming.setdefault((node, epoch), []).append(work.lines[n].time_ns)
        for some in batched(coming.items(), QUESTIONS_AT_ONCE):
            answers = self._ask([seqs_between(*key, min(times_ns), max(times_ns)) for key, times_ns in some])
            for (key, _), answer in zip(some, answers, strict=True):
                self._note_held(key, frozenset(int(row[1]) for series in answer for row in series.values))

    def _ask(self, questions: Sequence[str]) -> list[list[Rows]]:
        answers = self._server.query(";".join(questions))
        if len(answers) != len(questions):
            raise StoreFailed(f"store influxdb: {len(answers)} answers to {len(questions)} questions")
        return answers

    def _note_held(self, key: tuple[str, bytes], seqs: frozenset[int]) -> None:
        if len(self._seen) >= MAX_KNOWN_EPOCHS:
            self._seen, self._held = set(), {}
        self._seen.add(key)
        if seqs:
            self._held[key] = seqs

    # ---- retention

    def _oldest_ns(self, times_ns: Sequence[int]) -> int | None:
        """What lies before is past the retention. A clock of ours that runs ahead of all records expires nothing."""
        if self._retention_ns is None:
            return None
        newest_ns = max(self._newest_ns, max(times_ns, default=0))
        return min(self._clock(), newest_ns) - self._retention_ns

    def _ask_retention(self) -> None:
        """Now and then, because it can be changed at any time. Where it cannot be asked, the server's refusals tell."""
        now_s = self._monotonic()
        if self._asked_s is not None and now_s - self._asked_s < ASK_RETENTION_EVERY_S:
            return
        kept_s = kept_seconds(self._server)
        self._asked_s = now_s
        if kept_s is not None:
            self._retention_ns = kept_s * 10**9 if kept_s else None

"""From batches to acknowledgements: decode, drop duplicates, write to the stores, keep the ranges, then answer.

The order is the promise. A step that fails holds everything before it: nothing is answered, the messages are kept (up
to a bound) and the whole is tried again with growing delays. Trying again is safe, because a store takes a seq once
and every step of the accounting may be repeated.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from tinyprof_collector.accounting import sacks_for
from tinyprof_collector.counts import Counts
from tinyprof_collector.decoding import Decoded
from tinyprof_collector.intake import Intake
from tinyprof_collector.judging import plan_for, whole
from tinyprof_collector.ledger import Ledger, reply_of
from tinyprof_collector.ledger_sums import Sums
from tinyprof_collector.news import News
from tinyprof_collector.quarantine import Quarantine, QuarantineFailed
from tinyprof_collector.replay import Replay
from tinyprof_collector.state.state import SharedState, State, StateFailed, StateLost
from tinyprof_collector.stores.store import Store, StoreFailed
from tinyprof_collector.verification import store_counts
from tinyprof_protocol.codec import encode
from tinyprof_protocol.connection import Message, Publication
from tinyprof_protocol.names import PARTITIONS
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.requests import LedgerReply, QuarantineReply, QuarantineRequest
from tinyprof_protocol.topics import agent_topic

log = logging.getLogger(__name__)

_HOLDS = (StoreFailed, StateFailed, QuarantineFailed)
MAX_RETRY_AFTER_S = 300.0
MAX_REPLAY = 500
LOOK_AROUND_S = 1.0
MAX_COUNTED_NODES = 10_000


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """Bounds and times of the pipeline."""

    max_held: int = 2048
    """Messages kept while a store takes nothing; what comes beyond falls and is counted as deferred."""
    sack_expiry_s: int = 60
    first_retry_s: float = 1.0
    longest_retry_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Holding:
    """Why nothing is acknowledged now. Times are of the monotonic clock, in seconds."""

    reason: str
    since_s: float
    next_try_s: float
    attempts: int
    messages: int


class Pipeline:
    """Owns the ledger and all that is behind it. One thread calls `process`; any thread may call the rest."""

    def __init__(
        self,
        stores: Sequence[Store],
        state: State,
        quarantine: Quarantine,
        clock: Callable[[], int] = time.time_ns,
        settings: PipelineSettings | None = None,
        on_stored: Callable[[list[News]], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        partitions: Collection[int] | None = None,
    ) -> None:
        """Loads the accounts and brings them in line with the quarantine. Raises StateFailed and QuarantineFailed.

        `on_stored` is told what newly stored records say, each once, and what those are that came while the stores held
        them already: after a kill between store and state, or a lost state. With a state that is shared the ledger is
        that of the `partitions` served here.
        """
        if not stores:
            raise ValueError("a pipeline needs at least one store")
        self._stores = list(stores)
        self._state = state
        self._quarantine = quarantine
        self._clock = clock
        self._monotonic = monotonic
        self._settings = settings or PipelineSettings()
        self._on_stored = on_stored
        self._lock = threading.RLock()
        self._shared = state if isinstance(state, SharedState) else None
        self._ledger = Ledger(shared=self._shared is not None)
        self._partitions = frozenset(range(PARTITIONS) if partitions is None else partitions)
        self._looked_s = monotonic()
        self._state_is_lost = True
        self._load()
        self._waiting: list[Message] = []
        self._counts = Counts()
        self._ask_until_s = math.inf
        self._intake = Intake(stores, quarantine, self._ledger, clock, self._counts, self._asked_enough)
        self._replay = Replay(self._intake, quarantine, self._ledger, self._keep)
        self.holding: Holding | None = None
        """Set while a store, the state or the quarantine takes nothing: critical."""
        self.taken: dict[int, str] = {}
        """Partitions that another collector has claimed since this one did, with its id: they are its."""

    # ---- the way in

    def process(self, messages: Sequence[Message] = (), decoded: Decoded | None = None) -> list[Publication]:
        """Takes a list of messages in and returns the acknowledgements to publish; `decoded` ahead if it was.

        Also called with an empty list, at least every second, to try again what is held and to keep what statuses said.
        """
        with self._lock:
            self._admit(messages)
            if self.holding is not None and self._monotonic() < self.holding.next_try_s:
                return []
            sacks: list[Publication] = []
            try:
                self._load()
                self._look_around()
                self._intake.recall()
                sacks += self._answer()
                self._replay.finish()
                self._handle_waiting(decoded)
                sacks += self._answer()
            except _HOLDS as why:
                self._state_is_lost = self._state_is_lost or isinstance(why, StateLost)
                self._hold(why)
                return sacks
            if self.holding is not None:
                log.info("records are taken again after: %s", self.holding.reason)
                self.holding = None
            return sacks

    def ask_until(self, at_s: float) -> None:
        """From then on (monotonic, seconds) the stores are asked no more what they hold: for a stop. Does not wait.

        After a lost state that may be thousands of questions. What needs their answers is held as if a store were gone.
        """
        self._ask_until_s = at_s

    def note_status(self, status: AgentStatus) -> None:
        """Takes in what an agent says it still owes. Kept with the next `process`."""
        with self._lock:
            self._ledger.note_status(status)

    def quarantine_message(self, message: Message, reason: str) -> None:
        """Puts away a message that is no batch, such as a status under another's topic. Raises QuarantineFailed."""
        with self._lock:
            self._intake.put_away([whole(message, reason)])

    # ---- what others ask

    def ledger(self, node: str | None = None, verify: bool = False) -> LedgerReply:
        """The ledger of a node, or of all; with `verify` every store is asked for its own count."""
        with self._lock:
            rows = self._ledger.rows(node)
            if not verify:
                return reply_of(rows)
            try:
                return reply_of(rows, store_counts(self._stores, rows))
            except StoreFailed as why:
                reply = reply_of(rows)
                return LedgerReply(reply.rows, False, [str(why)[:300], *reply.problems][:16])

    def ledger_totals(self) -> dict[str, int]:
        """The sum of every class, of `resent` and of `head` over all epochs."""
        with self._lock:
            return self._ledger.totals()

    def ledger_sums(self) -> Sums:
        """The ledger in short: its totals, and by node what is missing and what is in quarantine."""
        with self._lock:
            return self._ledger.sums()

    def counters(self) -> dict[str, int]:
        """What was counted since the start: batches, records, stored, held, expired, quarantined, resent, ..."""
        with self._lock:
            kept = {f"quarantine_{name}": n for name, n in self._quarantine_counts().items()}
            return {**self._counts.by_name, **kept, "deferred": sum(self._counts.deferred.values())}

    def waiting(self) -> int:
        """Batches that are held until the stores, the state and the quarantine take records again."""
        with self._lock:
            return len(self._waiting)

    def deferred(self) -> dict[str, int]:
        """Batches of each node that fell because a bound was reached here."""
        with self._lock:
            return dict(self._counts.deferred)

    def quarantine_reply(self, request: QuarantineRequest) -> QuarantineReply:
        """Answers a request. Raises StoreFailed, StateFailed and QuarantineFailed."""
        with self._lock:
            if request.action == "replay":
                return self._replay.run(request.item, request.node, request.limit)
            if request.action == "show":
                found = self._quarantine.show(request.item) if request.item is not None else None
                items = [found] if found is not None else []
            else:
                items = self._quarantine.list_items(request.node, request.offset, request.limit)
            discarded = self._quarantine.counts()["discarded"]
            return QuarantineReply(items, self._quarantine.total(request.node), discarded)

    # ---- the way through

    def _asked_enough(self) -> bool:
        return self._monotonic() >= self._ask_until_s

    def _admit(self, messages: Sequence[Message]) -> None:
        room = len(messages) if self.holding is None else self._settings.max_held - len(self._waiting)
        self._waiting.extend(messages[: max(0, room)])
        for message in messages[max(0, room) :]:
            self._counts.defer(whole(message, "").node)

    def _handle_waiting(self, decoded: Decoded | None) -> None:
        """Takes in all that waits; should the code fail over it, one by one: only the one to blame falls out."""
        if not self._waiting:
            return
        try:
            ahead = decoded if decoded is not None and decoded.messages == self._waiting else None
            plan = self._intake.plan(self._waiting, ahead)
            self._intake.take_in(plan, len(self._waiting))
            self._waiting = []
        except QuarantineFailed:
            self._let_poison_fall()
        except _HOLDS:
            raise
        except Exception:
            log.exception("a list of %d messages could not be taken in", len(self._waiting))
            while self._waiting:
                self._handle_one(self._waiting[0])
                del self._waiting[0]

    def _let_poison_fall(self) -> None:
        """Where the quarantine takes nothing, only what belongs there waits: its agents send it again."""
        poisoned = [message for message in self._waiting if plan_for([message], self._ledger).poisons]
        for message in poisoned:
            self._counts.defer(whole(message, "").node)
        self._waiting = [message for message in self._waiting if message not in poisoned]
        while self._waiting:
            try:
                self._handle_one(self._waiting[0])
            except QuarantineFailed:
                self._counts.defer(whole(self._waiting[0], "").node)
            del self._waiting[0]

    def _handle_one(self, message: Message) -> None:
        try:
            self._intake.take_in(self._intake.plan([message]), 1)
        except _HOLDS:
            raise
        except Exception as why:
            log.exception("a message under %s could not be taken in", message.topic)
            self._counts.add("failures")
            self._intake.put_away([whole(message, f"{type(why).__name__}: {why}")])

    def _load(self) -> None:
        """At the start, and where the state went back in time. What was not answered by then comes again."""
        if not self._state_is_lost:
            return
        self._ledger.restore(self._state.load())
        self._ledger.reconcile(self._quarantine.records())
        self._state_is_lost = False

    def _look_around(self) -> None:
        """Takes what other collectors have kept, and leaves them the partitions that they have claimed since."""
        if self._shared is None or self._monotonic() - self._looked_s < LOOK_AROUND_S:
            return
        self._keep()
        self._ledger.adopt(self._shared.look_around())
        self.taken = dict(self._shared.taken())
        self._ledger.keep_only(self._partitions - set(self.taken))
        self._looked_s = self._monotonic()

    def _keep(self) -> None:
        changes = self._ledger.changes()
        if changes:
            told = self._state.keep(changes)
            self._ledger.kept()
            if told is not None:
                self._ledger.adopt(told)

    def _answer(self) -> list[Publication]:
        """Tells whoever follows what is stored, keeps what is accounted, and only then tells the agents.

        A kill in between makes the agents send it again, and what the stores hold then is told again as held.
        """
        self._tell_followers()
        self._keep()
        sacks: list[Publication] = []
        for (node, epoch), runs in self._intake.to_answer.items():
            topic = agent_topic(node, "sack")
            account = self._ledger.find(node, epoch)
            answers = sacks_for(account, runs) if account is not None else []
            sacks.extend(Publication(topic, encode(sack), expiry_s=self._settings.sack_expiry_s) for sack in answers)
        self._intake.to_answer = {}
        self._counts.add("sacks", len(sacks))
        return sacks

    def _tell_followers(self) -> None:
        news, self._intake.news = self._intake.news, []
        if news and self._on_stored is not None:
            try:
                self._on_stored(news)
            except Exception:
                self._counts.add("failures")
                log.exception("a follower of what is stored failed")

    def _hold(self, why: Exception) -> None:
        now = self._monotonic()
        attempts = self.holding.attempts + 1 if self.holding else 1
        wait_s = min(self._settings.longest_retry_s, self._settings.first_retry_s * 2 ** min(attempts - 1, 20))
        if isinstance(why, StoreFailed) and why.retry_after_s is not None:
            wait_s = min(MAX_RETRY_AFTER_S, max(wait_s, why.retry_after_s))
        since_s = self.holding.since_s if self.holding else now
        if self.holding is None:
            log.error("nothing is acknowledged: %s", why)
        self._counts.add("holds")
        excess = self._waiting[self._settings.max_held :]
        del self._waiting[self._settings.max_held :]
        for message in excess:
            self._counts.defer(whole(message, "").node)
        self.holding = Holding(str(why), since_s, now + wait_s, attempts, len(self._waiting))

    # ---- counting

    def _quarantine_counts(self) -> dict[str, int]:
        try:
            return {**self._quarantine.counts(), "kept": self._quarantine.total()}
        except QuarantineFailed:
            return {}

"""From batches to acknowledgements: decode, drop duplicates, write to the stores, keep the ranges, then answer.

The order is the promise. A step that fails holds everything before it: nothing is answered, the messages are kept (up
to a bound) and the whole is tried again with growing delays. Trying again is safe, because a store takes a seq once
and every step of the accounting may be repeated.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec import structs

from tinyprof_collector.accounting import runs_of, sacks_for
from tinyprof_collector.judging import Key, Plan, Unfit, Work, open_batch, plan_for, whole
from tinyprof_collector.ledger import Ledger, reply_of
from tinyprof_collector.ledger_sums import Sums
from tinyprof_collector.quarantine import Kept, Poison, Quarantine, QuarantineFailed
from tinyprof_collector.state.state import State, StateFailed
from tinyprof_collector.stores.store import Answer, Arrival, Refused, Store, StoreFailed
from tinyprof_collector.verification import held_runs, store_counts, stored_runs
from tinyprof_protocol.bounds import MAX_COUNT
from tinyprof_protocol.codec import BadMessage, encode, unpack
from tinyprof_protocol.connection import Message, Publication
from tinyprof_protocol.jobs import LedgerReply, QuarantineItem, QuarantineReply, QuarantineRequest
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.records import Record
from tinyprof_protocol.topics import agent_topic

log = logging.getLogger(__name__)

_HOLDS = (StoreFailed, StateFailed, QuarantineFailed)
MAX_RETRY_AFTER_S = 300.0
MAX_REPLAY = 500
MAX_COUNTED_NODES = 10_000


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """Bounds and times of the pipeline."""

    max_held: int = 2048
    """Messages kept while a store takes nothing; what comes beyond falls and is counted as deferred."""
    sack_expiry_s: int = 60
    first_retry_s: float = 1.0
    longest_retry_s: float = 60.0


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
        on_stored: Callable[[list[Arrival], list[Arrival]], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Loads the accounts and brings them in line with the quarantine. Raises StateFailed and QuarantineFailed.

        `on_stored` is told which records are newly stored, and which came while the stores held them already: after a
        kill between store and state, or a lost state. Each record is newly stored once.
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
        self._ledger = Ledger(state.load())
        self._ledger.reconcile(quarantine.records())
        self._replay_interrupted = True
        self._waiting: list[Message] = []
        self._to_answer: dict[Key, list[tuple[int, int]]] = {}
        self._new: list[Arrival] = []
        self._held: list[Arrival] = []
        self._counts: dict[str, int] = {}
        self._deferred: dict[str, int] = {}
        self.holding: Holding | None = None
        """Set while a store, the state or the quarantine takes nothing: critical."""

    # ---- the way in

    def process(self, messages: Sequence[Message] = ()) -> list[Publication]:
        """Takes a list of messages in and returns the acknowledgements to publish.

        Also called with an empty list, at least every second, to try again what is held and to keep what statuses said.
        """
        with self._lock:
            self._admit(messages)
            if self.holding is not None and self._monotonic() < self.holding.next_try_s:
                return []
            sacks: list[Publication] = []
            try:
                self._recall()
                sacks += self._answer()
                self._finish_replays()
                self._handle_waiting()
                sacks += self._answer()
            except _HOLDS as why:
                self._hold(why)
                return sacks
            if self.holding is not None:
                log.info("records are taken again after: %s", self.holding.reason)
                self.holding = None
            return sacks

    def note_status(self, status: AgentStatus) -> None:
        """Takes in what an agent says it still owes. Kept with the next `process`."""
        with self._lock:
            self._ledger.note_status(status)

    def quarantine_message(self, message: Message, reason: str) -> None:
        """Puts away a message that is no batch, such as a status under another's topic. Raises QuarantineFailed."""
        with self._lock:
            self._put_away([whole(message, reason)])

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
            return {**self._counts, **kept, "deferred": sum(self._deferred.values())}

    def deferred(self) -> dict[str, int]:
        """Batches of each node that fell because a bound was reached here."""
        with self._lock:
            return dict(self._deferred)

    def problems(self) -> list[str]:
        """What is wrong with stores, state and quarantine, a line each."""
        with self._lock:
            lines = [self.holding.reason] if self.holding else []
            checks = [*(store.check() for store in self._stores), self._state.check(), self._quarantine.check()]
            return list(dict.fromkeys([*lines, *(line for line in checks if line)]))

    def quarantine_list(
        self, node: str | None = None, offset: int = 0, limit: int = 100
    ) -> tuple[list[QuarantineItem], int]:
        """Items oldest first without bytes, and how many there are in all. Raises QuarantineFailed."""
        with self._lock:
            return self._quarantine.list_items(node, offset, limit), self._quarantine.total(node)

    def quarantine_show(self, item: int) -> QuarantineItem | None:
        """One item with its bytes. Raises QuarantineFailed."""
        with self._lock:
            return self._quarantine.show(item)

    def quarantine_reply(self, request: QuarantineRequest) -> QuarantineReply:
        """Answers a request. Raises StoreFailed, StateFailed and QuarantineFailed."""
        with self._lock:
            if request.action == "replay":
                return self.replay(request.item, request.node, request.limit)
            if request.action == "show":
                found = self._quarantine.show(request.item) if request.item is not None else None
                items = [found] if found is not None else []
            else:
                items = self._quarantine.list_items(request.node, request.offset, request.limit)
            discarded = self._quarantine.counts()["discarded"]
            return QuarantineReply(items, self._quarantine.total(request.node), discarded)

    # ---- replay

    def replay(self, item: int | None = None, node: str | None = None, limit: int = 100) -> QuarantineReply:
        """Sends an item, or the oldest of a node or of all, past the duplicate check again.

        Acknowledgements that follow from it come with the next `process`. What fails again stays, with its new reason.
        Raises StoreFailed, StateFailed and QuarantineFailed; the replay is then taken up again by `process`.
        """
        with self._lock:
            self._replay_interrupted = True
            kept = self._quarantine.begin_replay(item, node, min(limit, MAX_REPLAY))
            stored, failed = self._replay(kept)
            self._replay_interrupted = False
            again = [found for number in failed if (found := self._quarantine.show(number))]
            items = [structs.replace(found, data=None) for found in again]
            counts = self._quarantine.counts()
            return QuarantineReply(items, self._quarantine.total(node), counts["discarded"], len(kept), stored)

    def _finish_replays(self) -> None:
        if self._replay_interrupted:
            self._replay(self._quarantine.interrupted_replay())
            self._replay_interrupted = False

    def _replay(self, kept: list[Kept]) -> tuple[int, dict[int, str]]:
        failed: dict[int, str] = {}
        arrivals: dict[int, Arrival] = {}
        messages: dict[int, Message] = {}
        for item, poison in kept:
            try:
                if poison.seq is None:
                    messages[item] = Message(poison.topic, poison.data, False, None, None)
                    open_batch(messages[item])
                else:
                    record = unpack(poison.data, Record)
                    arrivals[item] = Arrival(poison.node, poison.epoch, poison.seq, poison.data, record)
            except (Unfit, BadMessage) as why:
                messages.pop(item, None)
                failed[item] = str(why)
        stored = self._replay_records(arrivals, failed)
        for item, message in list(messages.items()):
            why_not = self._replay_whole(message)
            if why_not:
                del messages[item]
                failed[item] = why_not
        self._keep()
        self._quarantine.end_replay([item for item, _ in kept if item not in failed], failed)
        return stored + len(messages), failed

    def _replay_whole(self, message: Message) -> str:
        """Takes a batch in; returns why it cannot be taken, and then it stays in the quarantine."""
        plan = plan_for([message], self._ledger)
        if not plan.works:
            return plan.poisons[0].reason if plan.poisons else "the bounds of ranges or epochs are reached"
        try:
            self._take_in(plan, 1)
        except _HOLDS:
            raise
        except Exception as why:
            log.exception("a message under %s could not be taken in", message.topic)
            return f"{type(why).__name__}: {why}"
        return ""

    def _replay_records(self, arrivals: dict[int, Arrival], failed: dict[int, str]) -> int:
        answers = self._write(list(arrivals.values()))
        stored = 0
        for (item, arrival), answer in zip(arrivals.items(), answers, strict=True):
            if isinstance(answer, Refused):
                failed[item] = answer.reason
                continue
            outcome = "expired" if answer == "expired" else "stored"
            if not self._ledger.release(arrival.node, arrival.epoch, arrival.seq, outcome):
                account = self._ledger.open(arrival.node, arrival.epoch)
                account.settle(arrival.seq, arrival.seq, "expired" if answer == "expired" else "stored")
            stored += answer != "expired"
        return stored

    # ---- the way through

    def _admit(self, messages: Sequence[Message]) -> None:
        room = len(messages) if self.holding is None else self._settings.max_held - len(self._waiting)
        self._waiting.extend(messages[: max(0, room)])
        for message in messages[max(0, room) :]:
            self._count_deferred(whole(message, "").node)

    def _handle_waiting(self) -> None:
        """Takes in all that waits; should the code fail over it, one by one: only the one to blame falls out."""
        if not self._waiting:
            return
        try:
            self._take_in(plan_for(self._waiting, self._ledger), len(self._waiting))
            self._waiting = []
        except _HOLDS:
            raise
        except Exception:
            log.exception("a list of %d messages could not be taken in", len(self._waiting))
            while self._waiting:
                self._handle_one(self._waiting[0])
                del self._waiting[0]

    def _handle_one(self, message: Message) -> None:
        try:
            self._take_in(plan_for([message], self._ledger), 1)
        except _HOLDS:
            raise
        except Exception as why:
            log.exception("a message under %s could not be taken in", message.topic)
            self._count("failures")
            self._put_away([whole(message, f"{type(why).__name__}: {why}")])

    def _recall(self) -> None:
        """Asks the stores of accounts that are new here: where the state was lost, what is stored stays stored."""
        for account in self._ledger.unrecalled():
            runs = stored_runs(self._stores, account.node, account.epoch)
            self._count("recalled", self._ledger.recall(account, runs))

    def _take_in(self, plan: Plan, messages: int) -> None:
        for work in plan.works:
            self._ledger.open(work.batch.node, work.batch.epoch)
        self._recall()  # before the stores take anything new
        answers = self._write(plan.arrivals)
        refused = [
            Poison(arrival.node, agent_topic(arrival.node, "records"), answer.reason, arrival.data,
                   arrival.epoch, arrival.seq)
            for arrival, answer in zip(plan.arrivals, answers, strict=True) if isinstance(answer, Refused)
        ]  # fmt: skip
        held = self._evicted_but_held(plan)
        fallen = self._quarantine.add(plan.poisons + refused, self._clock()) if plan.poisons or refused else []
        self._count("messages", messages)
        for node in plan.deferred:
            self._count_deferred(node)
        for work in plan.works:
            end = work.first + work.count
            self._account(work, plan.arrivals[work.first : end], answers[work.first : end])
        for node, epoch, first, last in held:
            self._count("stored", self._ledger.open(node, epoch).settle(first, last, "stored"))
        for node, epoch, seq in fallen:
            self._ledger.release(node, epoch, seq, "discarded")

    def _evicted_but_held(self, plan: Plan) -> list[tuple[str, bytes, int, int]]:
        """Runs of seqs reported evicted that the stores hold: what was written before the state was lost is stored."""
        held: list[tuple[str, bytes, int, int]] = []
        for (node, epoch), ranges in plan.evicting.items():
            account = self._ledger.find(node, epoch)
            for pair in ranges:
                for first, last in account.accounted.absent(*pair) if account else [pair]:
                    runs = held_runs(self._stores, node, epoch, first, last)
                    held.extend((node, epoch, a, b) for a, b in runs)
        return held

    def _put_away(self, poisons: list[Poison]) -> None:
        for node, epoch, seq in self._quarantine.add(poisons, self._clock()):
            self._ledger.release(node, epoch, seq, "discarded")

    def _write(self, arrivals: list[Arrival]) -> list[Answer]:
        """What became of each record in all stores together: stored when all that can have it have it."""
        if not arrivals:
            return []
        answers = self._stores[0].write(arrivals)
        for store in self._stores[1:]:
            answers = [_united(one, two) for one, two in zip(answers, store.write(arrivals), strict=True)]
        self._note_news(arrivals, answers)
        return answers

    def _note_news(self, arrivals: list[Arrival], answers: list[Answer]) -> None:
        """At once: should a later step fail, the stores will hold what they have just taken."""
        if self._on_stored is None:
            return
        if answers.count("stored") == len(answers):
            self._new.extend(arrivals)
            return
        for arrival, answer in zip(arrivals, answers, strict=True):
            if answer == "stored":
                self._new.append(arrival)
            elif answer == "held":
                self._held.append(arrival)

    def _account(self, work: Work, arrivals: list[Arrival], answers: list[Answer]) -> None:
        batch = work.batch
        account = self._ledger.open(batch.node, batch.epoch)
        self._count("on_word", account.receive_base(batch.base))
        for evicted in batch.evicted:
            self._count("evicted", account.evict(evicted.first, evicted.last, evicted.cause))
        seqs: dict[str, list[int]] = {"stored": [], "expired": [], "quarantined": work.bad}
        taken = arrivals
        if answers.count("stored") < len(answers):
            taken = [one for one, answer in zip(arrivals, answers, strict=True) if answer in ("stored", "held")]
            for arrival, answer in zip(arrivals, answers, strict=True):
                if isinstance(answer, Refused):
                    seqs["quarantined"].append(arrival.seq)
                elif answer == "expired":
                    seqs["expired"].append(arrival.seq)
        seqs["stored"] = [arrival.seq for arrival in taken]
        entered = 0
        for outcome, which in seqs.items():
            for first, last in runs_of(sorted(which)) if which else ():
                n = account.settle(first, last, outcome)  # type: ignore[arg-type]
                self._count(outcome, n)
                entered += n
        resent = work.resent + sum(map(len, seqs.values())) - entered
        account.resent += resent
        self._count("resent", resent)
        self._count("held", answers.count("held"))
        self._count("batches")
        self._count("records", len(batch.records))
        self._to_answer.setdefault((batch.node, batch.epoch), []).extend(work.runs)

    def _keep(self) -> None:
        changes = self._ledger.changes()
        if changes:
            self._state.keep(changes)
            self._ledger.kept()

    def _answer(self) -> list[Publication]:
        """Keeps what is accounted; only then tells agents, and whoever follows what is stored."""
        self._keep()
        sacks: list[Publication] = []
        for (node, epoch), runs in self._to_answer.items():
            topic = agent_topic(node, "sack")
            account = self._ledger.find(node, epoch)
            answers = sacks_for(account, runs) if account is not None else []
            sacks.extend(Publication(topic, encode(sack), expiry_s=self._settings.sack_expiry_s) for sack in answers)
        self._to_answer = {}
        self._count("sacks", len(sacks))
        new, held = self._new, self._held
        self._new, self._held = [], []
        if (new or held) and self._on_stored is not None:
            try:
                self._on_stored(new, held)
            except Exception:
                self._count("failures")
                log.exception("a follower of what is stored failed")
        return sacks

    def _hold(self, why: Exception) -> None:
        now = self._monotonic()
        attempts = self.holding.attempts + 1 if self.holding else 1
        wait_s = min(self._settings.longest_retry_s, self._settings.first_retry_s * 2 ** min(attempts - 1, 20))
        if isinstance(why, StoreFailed) and why.retry_after_s is not None:
            wait_s = min(MAX_RETRY_AFTER_S, max(wait_s, why.retry_after_s))
        since_s = self.holding.since_s if self.holding else now
        if self.holding is None:
            log.error("nothing is acknowledged: %s", why)
        self._count("holds")
        excess = self._waiting[self._settings.max_held :]
        del self._waiting[self._settings.max_held :]
        for message in excess:
            self._count_deferred(whole(message, "").node)
        self.holding = Holding(str(why), since_s, now + wait_s, attempts, len(self._waiting))

    # ---- counting

    def _count(self, name: str, n: int = 1) -> None:
        self._counts[name] = min(MAX_COUNT, self._counts.get(name, 0) + n)

    def _count_deferred(self, node: str) -> None:
        if node not in self._deferred and len(self._deferred) >= MAX_COUNTED_NODES:
            node = ""
        self._deferred[node] = self._deferred.get(node, 0) + 1

    def _quarantine_counts(self) -> dict[str, int]:
        try:
            return {**self._quarantine.counts(), "kept": self._quarantine.total()}
        except QuarantineFailed:
            return {}


def _united(one: Answer, two: Answer) -> Answer:
    """One answer for two stores: refused by either; expired only where both say so; held only where both had it."""
    if isinstance(one, Refused):
        return one
    if isinstance(two, Refused) or one == two:
        return two
    return "stored"

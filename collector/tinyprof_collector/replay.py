"""Sends what the quarantine holds past the duplicate check again."""

import logging
from collections.abc import Callable

from msgspec import structs

from tinyprof_collector.decoding import Unfit, open_batch
from tinyprof_collector.intake import Intake
from tinyprof_collector.judging import plan_for
from tinyprof_collector.ledger import Ledger
from tinyprof_collector.quarantine import Kept, Quarantine, QuarantineFailed
from tinyprof_collector.state.state import StateFailed
from tinyprof_collector.stores.store import Arrival, Refused, StoreFailed
from tinyprof_protocol.codec import BadMessage, unpack
from tinyprof_protocol.connection import Message
from tinyprof_protocol.records import Record
from tinyprof_protocol.requests import QuarantineReply

log = logging.getLogger(__name__)

MAX_REPLAY = 500


class Replay:
    """Replays; one that a kill interrupted is taken up again. `keep` makes the accounts durable."""

    def __init__(self, intake: Intake, quarantine: Quarantine, ledger: Ledger, keep: Callable[[], None]) -> None:
        self._intake = intake
        self._quarantine = quarantine
        self._ledger = ledger
        self._keep = keep
        self._interrupted = True

    def run(self, item: int | None, node: str | None, limit: int) -> QuarantineReply:
        """Replays an item, or the oldest of a node or of all. What fails again stays, with its new reason.

        Raises StoreFailed, StateFailed and QuarantineFailed; then `finish` takes it up again.
        """
        self._interrupted = True
        kept = self._quarantine.begin_replay(item, node, min(limit, MAX_REPLAY))
        stored, failed = self._replay(kept)
        self._interrupted = False
        again = [found for number in failed if (found := self._quarantine.show(number))]
        items = [structs.replace(found, data=None) for found in again]
        counts = self._quarantine.counts()
        return QuarantineReply(items, self._quarantine.total(node), counts["discarded"], len(kept), stored)

    def finish(self) -> None:
        """Ends a replay that was interrupted."""
        if self._interrupted:
            self._replay(self._quarantine.interrupted_replay())
            self._interrupted = False

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
            self._intake.take_in(plan, 1)
        except (StoreFailed, StateFailed, QuarantineFailed):
            raise
        except Exception as why:
            log.exception("a message under %s could not be taken in", message.topic)
            return f"{type(why).__name__}: {why}"
        return ""

    def _replay_records(self, arrivals: dict[int, Arrival], failed: dict[int, str]) -> int:
        answers = self._intake.write(list(arrivals.values()))
        stored = 0
        for (item, arrival), answer in zip(arrivals.items(), answers, strict=True):
            if isinstance(answer, Refused):
                failed[item] = answer.reason
                continue
            if answer == "later":
                failed[item] = "its agent's records are taken seldom now, because some were refused: try again"
                continue
            outcome = "expired" if answer == "expired" else "stored"
            if not self._ledger.release(arrival.node, arrival.epoch, arrival.seq, outcome):
                account = self._ledger.open(arrival.node, arrival.epoch)
                account.settle(arrival.seq, arrival.seq, "expired" if answer == "expired" else "stored")
            stored += answer != "expired"
        return stored

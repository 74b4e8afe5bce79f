"""Takes a plan in: the stores first, then the quarantine, then the accounts. Nothing is answered here.

Every step may fail and be repeated with the same plan or another one that holds the same messages.
"""

from collections.abc import Callable, Sequence

from tinyprof_collector.accounting import Account, Pairs, runs_of
from tinyprof_collector.counts import Counts
from tinyprof_collector.decoding import Decoded, Preparing
from tinyprof_collector.judging import Key, Plan, Work, plan_for
from tinyprof_collector.ledger import Ledger
from tinyprof_collector.news import News
from tinyprof_collector.quarantine import Poison, Quarantine
from tinyprof_collector.stores.store import Answer, Arrival, Refused, Store
from tinyprof_collector.verification import held_runs, never, runs_among, stored_runs
from tinyprof_protocol.connection import Message
from tinyprof_protocol.topics import agent_topic


class Intake:
    """The steps between a plan and its acknowledgements. One thread at a time."""

    def __init__(
        self,
        stores: Sequence[Store],
        quarantine: Quarantine,
        ledger: Ledger,
        clock: Callable[[], int],
        counts: Counts,
        is_over: Callable[[], bool] = never,
    ) -> None:
        """Once `is_over` says so the stores are asked nothing more of what they hold: that may be many questions."""
        self._stores = list(stores)
        self._quarantine = quarantine
        self._ledger = ledger
        self._clock = clock
        self._counts = counts
        self._is_over = is_over
        self.to_answer: dict[Key, Pairs] = {}
        """What batches asked for that are accounted and not answered yet."""
        self.news: list[News] = []
        """Of what was stored since somebody looked; of what the stores held already only what jobs want."""
        self._preparing = Preparing(stores)

    def plan(self, messages: Sequence[Message], decoded: Decoded | None = None) -> Plan:
        """The plan for a list of messages, with what they say to followers; `decoded` ahead if it was."""
        plan = plan_for(messages, self._ledger, self._prepare, decoded)
        if decoded is not None:
            if plan.arrivals == decoded.news.new:
                plan.news = decoded.news
            else:  # some were duplicates: what they say must not count twice
                plan.news = News()
                for work in plan.works:
                    plan.news.add(plan.arrivals[work.first : work.first + work.count], self._preparing.known)
        return plan

    def recall(self, works: Sequence[Work] = ()) -> None:
        """Asks the stores for what accounts that are new here, or batches, call settled and is not known here: where
        the state was lost, what is stored stays stored. Nearly always there is nothing to ask for.

        From the base on an agent that lists its epoch has the records and sends them again; what a store shows of those
        may be what it could not write to its disk.

        Raises StoreFailed, also where there is no time left for it; what was asked for is not asked for again.
        """
        bases = {account: account.highest_base() for account in self._ledger.unrecalled()}
        for work in works:
            account, base = self._ledger.open(work.batch.node, work.batch.epoch), work.batch.base
            if base > account.accounted.cum + 1:
                bases[account] = max(bases.get(account, 1), base)
        for account, base in bases.items():
            at = (account.node, account.epoch)
            if account.forgotten:
                runs = stored_runs(self._stores, *at, self._is_over)
            else:
                runs = runs_among(self._stores, *at, account.unsure_below(base), self._is_over)
            self._counts.add("recalled", self._ledger.recall(account, runs))

    def take_in(self, plan: Plan, messages: int) -> None:
        """Writes, puts away, accounts. Raises StoreFailed and QuarantineFailed, and then nothing is accounted."""
        self.recall(plan.works)  # before the stores take anything new
        answers = self.write(plan.arrivals, plan.news)
        is_all_stored = answers.count("stored") == len(answers)
        refused = [] if is_all_stored else [
            Poison(arrival.node, agent_topic(arrival.node, "records"), answer.reason, arrival.data,
                   arrival.epoch, arrival.seq)
            for arrival, answer in zip(plan.arrivals, answers, strict=True) if isinstance(answer, Refused)
        ]  # fmt: skip
        held = self._evicted_but_held(plan)
        fallen = self._quarantine.add(plan.poisons + refused, self._clock()) if plan.poisons or refused else []
        self._counts.add("messages", messages)
        for node in plan.deferred:
            self._counts.defer(node)
        for work in plan.works:
            end = work.first + work.count
            self._account(work, plan.arrivals[work.first : end], answers[work.first : end])
        for node, epoch, first, last in held:
            self._counts.add("stored", self._ledger.open(node, epoch).settle(first, last, "stored"))
        for node, epoch, seq in fallen:
            self._ledger.release(node, epoch, seq, "discarded")

    def put_away(self, poisons: list[Poison]) -> None:
        """Puts messages and records into the quarantine. Raises QuarantineFailed."""
        for node, epoch, seq in self._quarantine.add(poisons, self._clock()):
            self._ledger.release(node, epoch, seq, "discarded")

    def write(self, arrivals: list[Arrival], news: News | None = None) -> list[Answer]:
        """What became of each record in all stores together: stored when all that can have it have it.

        `news` is what all of them say, where that was gathered.
        """
        if not arrivals:
            return []
        answers = self._stores[0].write(arrivals)
        for store in self._stores[1:]:
            answers = [_united(one, two) for one, two in zip(answers, store.write(arrivals), strict=True)]
        self._note_news(arrivals, answers, news)
        return answers

    def _prepare(self, plan: Plan, arrivals: list[Arrival]) -> None:
        self._preparing.prepare(plan.news, arrivals)

    def _account(self, work: Work, arrivals: list[Arrival], answers: list[Answer]) -> None:
        batch = work.batch
        account = self._ledger.open(batch.node, batch.epoch)
        self._counts.add("on_word", account.receive_base(batch.base))
        for evicted in batch.evicted:
            self._counts.add("evicted", account.evict(evicted.first, evicted.last, evicted.cause))
        if work.count == len(batch.records) and not batch.evicted and answers.count("stored") == len(answers):
            self._account_stored(work, account)
            return
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
                self._counts.add(outcome, n)
                entered += n
        resent = work.resent + sum(map(len, seqs.values())) - entered
        account.resent += resent
        self._counts.add("resent", resent)
        self._counts.add("held", answers.count("held"))
        self._counts.add("batches")
        self._counts.add("records", len(batch.records))
        self.to_answer.setdefault((batch.node, batch.epoch), []).extend(work.runs)

    def _account_stored(self, work: Work, account: Account) -> None:
        """Nearly every batch: all its records were due, and all are stored. Its runs are those of its records."""
        entered = sum(account.settle(first, last, "stored") for first, last in work.runs)
        account.resent += work.count - entered
        self._counts.add("resent", work.count - entered)
        self._counts.add("stored", entered)
        self._counts.add("batches")
        self._counts.add("records", work.count)
        self.to_answer.setdefault((work.batch.node, work.batch.epoch), []).extend(work.runs)

    def _evicted_but_held(self, plan: Plan) -> list[tuple[str, bytes, int, int]]:
        """Runs of seqs reported evicted that the stores hold: what was written before the state was lost is stored."""
        held: list[tuple[str, bytes, int, int]] = []
        for (node, epoch), ranges in plan.evicting.items():
            account = self._ledger.find(node, epoch)
            for pair in ranges:
                for first, last in account.accounted.absent(*pair) if account else [pair]:
                    runs = held_runs(self._stores, node, epoch, first, last, is_over=self._is_over)
                    held.extend((node, epoch, a, b) for a, b in runs)
        return held

    def _note_news(self, arrivals: list[Arrival], answers: list[Answer], news: News | None) -> None:
        """At once: should a later step fail, the stores will hold what they have just taken."""
        if news is not None and answers.count("stored") == len(answers):
            self.news.append(news)
            return
        told = News()
        for arrival, answer in zip(arrivals, answers, strict=True):
            if answer == "stored":
                told.add([arrival], self._preparing.known)
            elif answer == "held":
                told.add_held([arrival], self._preparing.known)
        self.news.append(told)


def _united(one: Answer, two: Answer) -> Answer:
    """One answer for two stores: refused by either; later where one has no turn for it; expired only where both say
    so; held only where both had it.
    """
    if isinstance(one, Refused):
        return one
    if one == "later" and not isinstance(two, Refused):
        return one
    if isinstance(two, Refused) or two == "later" or one == two:
        return two
    return "stored"

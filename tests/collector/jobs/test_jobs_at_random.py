"""Jobs of three clients, asked, joined, cancelled, expired, restarted and answered in any order: none hangs."""

import random

import pytest
from job_book_site import NODE, NOW, Site, board, client, job, record, result, sent
from msgspec.structs import replace

from tinyprof_collector.jobs.actions import Answer
from tinyprof_protocol.job_states import ENDED
from tinyprof_protocol.jobs import ProfileReply, ProfileRequest, Where
from tinyprof_protocol.records import Event

S = 10**9
BOARDS = ("b1", "b2", "b3")


class World:
    """A book, the one agent that it sends to, and what each client was told at last."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.site = Site(max_jobs=10_000, boards=())
        self.now_ns = NOW
        self.jobs: dict[bytes, ProfileRequest] = {}
        self.held: dict[bytes, str] = {}
        """What the agent has, by id, and how far it is."""
        self.over: set[bytes] = set()
        self.sent: list = []
        self.ends: dict[bytes, str] = {}
        self.results: dict[bytes, bytes] = {}

    def hear(self, actions) -> None:
        self.sent += sent(actions)
        for action in actions:
            if isinstance(action, Answer) and isinstance(action.reply, ProfileReply) and action.reply.final:
                reply = action.reply
                if reply.message == "no such job is known here":
                    continue
                before = self.ends.setdefault(reply.job_id, reply.state)
                assert before == reply.state, "a job ends once"
                if reply.result is not None:
                    run_id = reply.result.body.job_id
                    assert self.results.setdefault(reply.job_id, run_id) == run_id, "a job has one result"

    def ask(self) -> None:
        """Several requests that are taken together: new ones, repeated ones, cancellations."""
        actions = []
        for _ in range(self.rng.randint(1, 9)):
            known = list(self.jobs.values())
            if known and self.rng.random() < 0.5:
                request = self.rng.choice(known[-self.rng.choice((4, 100)) :])
                if self.rng.random() < 0.6:
                    request = replace(request, job=replace(request.job, cancel=True))
            else:
                deadline_ns = self.now_ns + self.rng.choice((5, 50, 500)) * S
                made = job(self.rng.choice(BOARDS), deadline_ns=deadline_ns, priority=self.rng.randint(-1, 1),
                           suite="quick", max_tokens=self.rng.choice((None, 4)))  # fmt: skip
                where = Where(node=NODE) if self.rng.random() < 0.3 else None
                request = ProfileRequest(made, where, use_cache=self.rng.random() < 0.8)
                self.jobs[made.id] = request
            actions += self.site.book.ask(request, client(self.rng.randint(0, 2)), self.now_ns)
        self.site.keep([])
        self.hear(self.site.keep([*actions, *self.site.book.begin(self.now_ns)]))

    def deliver(self) -> None:
        """What was sent arrives, or does not."""
        for one in self.sent:
            if self.rng.random() < 0.2:
                continue
            if one.cancel:
                if self.held.pop(one.id, None) is not None:
                    self.over.add(one.id)
                    self.tell(Event("job_cancelled", job_id=one.id, board=one.board))
            elif one.id not in self.held and one.id not in self.over:
                self.held[one.id] = one.board
                self.tell(Event("job_accepted", job_id=one.id, board=one.board))
        self.sent.clear()

    def tell(self, *bodies) -> None:
        if self.rng.random() < 0.9:  # else the collector was killed before it kept it, and catches up on results
            self.hear(self.site.stored(*(record(body, self.now_ns) for body in bodies), now_ns=self.now_ns))

    def work(self) -> None:
        if not self.held:
            return
        run_id = self.rng.choice(list(self.held))
        where = self.held[run_id]
        if self.rng.random() < 0.3:
            self.tell(Event("job_started", job_id=run_id, board=where))
            return
        del self.held[run_id]
        self.over.add(run_id)
        if self.rng.random() < 0.2:
            name = self.rng.choice(("job_refused", "job_interrupted"))
            self.hear(self.site.stored(record(Event(name, job_id=run_id, board=where)), now_ns=self.now_ns))
            return
        finished = record(Event("job_finished", job_id=run_id, board=where), self.now_ns)
        for one in (finished, result(run_id, where, self.now_ns)):
            self.hear(self.site.stored(one, now_ns=self.now_ns))

    def status(self) -> None:
        state = "online" if self.rng.random() < 0.9 else "offline"
        boards = [one for one in BOARDS if self.rng.random() < 0.8]
        boards = [board(one, self.rng.choice(("idle", "running", "failed"))) for one in boards]
        self.hear(self.site.hear(*boards, jobs=list(self.held), state=state, now_ns=self.now_ns))

    def tick(self) -> None:
        self.now_ns += self.rng.choice((0, 1, 3, 20, -10)) * S
        self.hear(self.site.tick(self.now_ns))

    def restart(self) -> None:
        if self.rng.random() < 0.1:
            again = self.site.restarted()
            self.site, self.sent = again, []

    def check(self) -> None:
        """Each job that has not ended is with a run, which waits in a lane or is with a board."""
        book = self.site.book
        for job_id, entry in book._jobs.entries.items():
            if entry.ended is None:
                run = book._jobs.runs.by_id[entry.run_id]
                assert run.members.count(job_id) == 1
                lane = book._jobs.runs.dispatcher._lanes.lanes.get(run.target)
                waits = lane is not None and run.id in lane
                assert waits == (run.place is None), "a run waits in a lane, or is with a board"
            else:
                assert all(job_id not in run.members for run in book._jobs.runs.by_id.values())
        for run_id, run in book._jobs.runs.by_id.items():
            assert run.members
            assert run_id == run.id
        assert book.gauges()["jobs_kept"] == len(book._jobs.entries)

    def end(self) -> None:
        """All deadlines pass."""
        for _ in range(5):
            self.now_ns += 600 * S
            self.hear(self.site.tick(self.now_ns))


@pytest.mark.parametrize("seed", range(40))
def test_no_job_is_lost_and_none_ends_twice(seed):
    world = World(seed)
    world.status()
    steps = (world.ask, world.ask, world.deliver, world.work, world.work, world.status, world.tick, world.restart)
    for _ in range(400):
        world.rng.choice(steps)()
        world.check()
    world.end()
    for job_id in world.jobs:
        state = world.site.book.state_of(job_id)
        assert state in ENDED or state is None
    assert not world.site.book._jobs.runs.by_id
    assert not world.site.book._jobs.runs.dispatcher._lanes.lanes

"""Runs that wait for any board, between collectors that share a real Redis: offered, taken once, found again."""

import random

import pytest
import redis as redis_package
from msgspec.structs import replace

from tinyprof_collector.jobs.actions import Action, Answer, ReplyTo, Send
from tinyprof_collector.jobs.book import JobBook
from tinyprof_collector.jobs.entry import KeptJob, kept_at
from tinyprof_collector.jobs.keeper import JobKeeper
from tinyprof_collector.jobs.offering import MAX_TAKEN, Room, wanted
from tinyprof_collector.jobs.store import JobChanges, JobStoreFailed, Offer, TakenByOthers
from tinyprof_collector.presence import Presence
from tinyprof_protocol import topics
from tinyprof_protocol.jobs import Job, ProfileReply, ProfileRequest, Where
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import AgentStatus, BoardPresence
from tinyprof_protocol.records import Event, Record

S = 10**9
NOW = 4_000_000_000 * S
NEAR, FAR = ("lab.one", "b1"), ("lab.bench", "b2")
"""The board that all jobs name first, and one of another collector's."""
LAB = Where(site="lab")
CLIENT = "ab" * 16
TO = ReplyTo(topics.replies(CLIENT), b"c")


def request(number: int, where: Where | None = LAB, **more) -> ProfileRequest:
    return ProfileRequest(Job(number.to_bytes(16), *NEAR, NOW + 100 * S, **more), where, use_cache=False)


def kept(number: int, run: int | None = None) -> KeptJob:
    return KeptJob(request(number), CLIENT, NOW + number, "queued", (run or number).to_bytes(16))


def offer(number: int, *more: int, **terms) -> Offer:
    jobs = {one.to_bytes(16): NEAR[0] for one in (number, *more)}
    given = {"where": LAB, "priority": 0, "deadline_ns": NOW + 100 * S}
    return Offer(run_id=number.to_bytes(16), jobs=jobs, **(given | terms))


@pytest.fixture
def two(owner):
    """The stores of two collectors, each with half of the partitions."""
    ours = [n for n in range(16) if n != partition_of(FAR[0])]
    one, other = owner("one", ours), owner("two", [partition_of(FAR[0])])
    assert one.load() == other.load() == []
    return one, other


# ---- which are taken


def room(name: str, runs: int = 1, **more) -> Room:
    return Room("lab.pi", BoardPresence(name, "probe", "idle", **more), runs)


def test_what_is_wanted_goes_by_priority_then_deadline_to_boards_that_fit_and_have_room():
    offers = [
        offer(1, deadline_ns=NOW + 9 * S),
        offer(2, deadline_ns=NOW + 8 * S),
        offer(3, priority=5),
        offer(4, where=Where(platform="rp2040"), priority=9),
        offer(5, where=Where(label="slow"), priority=10),
        offer(6, deadline_ns=NOW, priority=10),
    ]
    rooms = [room("a", labels=["fast"]), room("b", 2, platform="rp2040")]
    chosen = [(one.run_id[-1], board[1]) for one, board in wanted(offers, rooms, NOW)]
    assert chosen == [(4, "b"), (3, "a"), (2, "b")]
    assert wanted(offers, [], NOW) == []


@pytest.mark.parametrize(
    "where",
    [Where(), Where(site="lab"), Where(node="lab.pi"), Where(board="a"), Where(platform="p"), Where(label="fast"),
     Where(site="lab", node="lab.pi", board="a", platform="p", label="fast")],
)  # fmt: skip
def test_a_board_is_found_by_whatever_it_is_asked_for(where):
    rooms = [room("z", platform="q", labels=["slow"]), room("a", platform="p", labels=["slow", "fast"])]
    ((_, board),) = wanted([offer(1, where=where)], rooms, NOW)
    assert board[1] == ("z" if where in (Where(), Where(site="lab"), Where(node="lab.pi")) else "a")
    for name in where.__struct_fields__:
        if getattr(where, name) is not None:
            assert wanted([offer(1, where=replace(where, **{name: "other"}))], rooms, NOW) == []


def test_no_more_are_taken_at_a_time_than_others_can_wait_for():
    assert len(wanted([offer(n) for n in range(1, 200)], [room("a", 500)], NOW)) == MAX_TAKEN


# ---- the store


def test_an_offered_run_is_taken_once_with_all_its_jobs_which_name_the_takers_board_from_then_on(two, owner):
    one, other = two
    one.keep(JobChanges([kept(1), kept(2, run=1)]))
    one.offer([offer(1, 2)], {})
    there = other.offers(NOW)
    assert there == {offer(1).run_id: offer(1, 2)}
    assert other.take(offer(1, 2), FAR) == [kept_at(kept(1), FAR), kept_at(kept(2, run=1), FAR)]
    assert (other.take(offer(1, 2), FAR), other.offers(NOW)) == ([], {})
    assert [other.board_of(n.to_bytes(16)) for n in (1, 2, 3)] == [FAR, FAR, None]
    assert [each.request.job.node for each in owner("next").load()] == [FAR[0]] * 2


def test_who_offered_a_run_that_was_taken_can_keep_and_offer_nothing_of_it_and_is_told_whose_it_is(two, owner):
    one, other = two
    one.keep(JobChanges([kept(1), kept(2)]))
    one.offer([offer(1), offer(2)], {})
    other.take(offer(1), FAR)
    other.take(offer(2), FAR)
    with pytest.raises(TakenByOthers) as taken:
        one.keep(JobChanges([replace(kept(1), state="cancelled"), kept(3)]))
    assert (taken.value.partitions, taken.value.jobs) == (frozenset(), {(1).to_bytes(16): FAR})
    with pytest.raises(TakenByOthers) as taken:
        one.offer([offer(2)], {})
    assert taken.value.jobs == {(2).to_bytes(16): FAR}
    one.keep(JobChanges([kept(3)]))
    assert [(each.request.job.id[-1], each.state) for each in owner("next").load()] == [
        (1, "queued"), (2, "queued"), (3, "queued"),
    ]  # fmt: skip


def test_a_run_that_was_placed_or_changed_is_nobody_elses_to_take(two):
    one, other = two
    one.keep(JobChanges([kept(1), kept(2)]))
    one.offer([offer(1), offer(2)], {})
    seen = other.offers(NOW)
    one.keep(JobChanges([replace(kept(1), node=NEAR[0], board=NEAR[1]), kept(3, run=2)]))
    assert [other.take(each, FAR) for each in seen.values()] == [[], []]
    assert other.offers(NOW) == {}


def test_what_an_earlier_owner_offered_is_the_newer_ones_alone(two, owner):
    one, other = two
    one.keep(JobChanges([kept(1)]))
    one.offer([offer(1)], {})
    newer = owner("newer", [partition_of(NEAR[0])])
    assert newer.load() == [kept(1)]
    assert (other.take(offer(1), FAR), other.offers(NOW)) == ([], {})
    with pytest.raises(TakenByOthers) as taken:
        one.offer([offer(1)], {})
    assert taken.value.partitions == {partition_of(NEAR[0])}


def test_who_has_lost_the_partition_of_a_board_takes_nothing_for_it(two, owner):
    one, other = two
    one.keep(JobChanges([kept(1)]))
    one.offer([offer(1)], {})
    owner("newer", [partition_of(FAR[0])]).load()
    with pytest.raises(TakenByOthers):
        other.take(offer(1), FAR)
    assert one.offers(NOW) == {offer(1).run_id: offer(1)}


def lose_the_next_answer(monkeypatch) -> None:
    """The server does what the next transaction asks, and its answer does not come."""
    execute = redis_package.client.Pipeline.execute

    def lost(pipeline, *more):
        monkeypatch.setattr(redis_package.client.Pipeline, "execute", execute)
        execute(pipeline, *more)
        raise redis_package.ConnectionError("lost")

    monkeypatch.setattr(redis_package.client.Pipeline, "execute", lost)


def test_jobs_whose_taking_was_not_answered_are_taken_all_the_same(two, monkeypatch):
    one, other = two
    one.keep(JobChanges([kept(1)]))
    one.offer([offer(1)], {})
    lose_the_next_answer(monkeypatch)
    with pytest.raises(JobStoreFailed):
        other.take(offer(1), FAR)
    assert other.taken_unheard() == [kept_at(kept(1), FAR)]
    assert other.taken_unheard() == []


def test_who_placed_an_offered_run_and_heard_no_answer_keeps_it(two, owner, monkeypatch):
    one, _ = two
    one.keep(JobChanges([kept(1)]))
    one.offer([offer(1)], {})
    there = ("lab.a1", "b9")
    placed = JobChanges([replace(kept_at(kept(1), there), node=there[0], board=there[1])])
    assert partition_of(there[0]) not in (partition_of(NEAR[0]), partition_of(FAR[0]))
    lose_the_next_answer(monkeypatch)
    with pytest.raises(JobStoreFailed):
        one.keep(placed)
    one.keep(placed)
    assert owner("next").load() == placed.jobs


def test_what_a_redis_has_lost_was_taken_by_nobody(two, server):
    one, _ = two
    one.keep(JobChanges([kept(1)]))
    one.offer([offer(1)], {})
    with server.client() as client:
        client.delete(*client.keys("*:jobs"), *client.keys("*:job-offer*"))
    one.keep(JobChanges([kept(1)]))
    one.offer([offer(1)], {})
    assert list(one.offers(NOW)) == [offer(1).run_id]


def test_an_offer_goes_once_it_is_long_over(two, server):
    one, other = two
    one.keep(JobChanges([kept(1)]))
    one.offer([offer(1)], {})
    assert other.offers(NOW + 1000 * S) == {}
    with server.client() as client:
        assert not client.exists("tinyprof:job-offers")


# ---- keepers on it


class Collector:
    """A keeper with the agents that it serves."""

    def __init__(self, store, *nodes: str) -> None:
        self.presence = Presence()
        partitions = {partition_of(node) for node in nodes}
        self.keeper = JobKeeper(JobBook(100, self.presence.agents, 3.0, partitions, shared=True), store)

    def hear(self, board: tuple[str, str], state="idle", jobs=()) -> list[Action]:
        status = AgentStatus(board[0], "online", boards=[BoardPresence(board[1], "probe", state)], jobs=list(jobs))
        self.presence.hear(status, NOW)
        return self.keeper.status(status, NOW)

    def ask(self, *asked: ProfileRequest, to: ReplyTo = TO) -> list[Action]:
        return self.keeper.ask([(each, to) for each in asked], NOW)


@pytest.fixture
def pair(owner):
    """A collector whose board fails, and another."""
    near = Collector(owner("one", [partition_of(NEAR[0])]), NEAR[0])
    far = Collector(owner("two", [partition_of(FAR[0])]), FAR[0])
    near.hear(NEAR, "open")
    return near, far


def sent(actions: list[Action]) -> list[tuple[int, str, str]]:
    return [(one.job.id[-1], one.job.node, one.job.board) for one in actions if isinstance(one, Send)]


def said(actions: list[Action]) -> list[tuple[int, str, str]]:
    replies = [one.reply for one in actions if isinstance(one, Answer)]
    return [(one.job_id[-1], one.state, one.node) for one in replies if isinstance(one, ProfileReply)]


def test_a_run_that_waits_is_made_by_the_collector_whose_board_is_free_and_who_asked_is_told_where(pair):
    near, far = pair
    assert said(near.ask(request(1))) == [(1, "queued", "")]
    assert near.keeper.share(NOW) == far.keeper.share(NOW) == []
    far.hear(FAR)
    assert sent(far.keeper.share(NOW)) == [(1, *FAR)]
    assert far.keeper.counters()["jobs_taken"] == 1
    assert said(near.keeper.share(NOW)) == [(1, "queued", FAR[0])]
    assert not near.keeper.knows((1).to_bytes(16))
    reply, _ = near.keeper.elsewhere(replace(request(1), repeated=True), NOW)
    assert (reply.state, reply.node, reply.final) == ("queued", FAR[0], False)
    assert said(far.ask(request(1))) == [(1, "queued", FAR[0])]


def test_a_cancellation_that_comes_before_it_is_known_that_the_run_was_taken_ends_nothing_and_says_where_it_is(pair):
    near, far = pair
    near.ask(request(1))
    near.keeper.share(NOW)
    far.hear(FAR)
    far.keeper.share(NOW)
    gone = request(1, cancel=True)
    assert set(said(near.ask(gone))) == {(1, "queued", FAR[0])}
    assert [job.cancel for job in (one.job for one in far.ask(gone) if isinstance(one, Send))] == [True]


def test_a_board_with_work_of_its_own_takes_none_of_others(pair):
    near, far = pair
    near.ask(request(1))
    near.keeper.share(NOW)
    far.hear(FAR)
    own = ProfileRequest(Job((9).to_bytes(16), *FAR, NOW + 100 * S))
    assert sent(far.ask(own)) == [(9, *FAR)]
    assert far.keeper.share(NOW) == []
    done = Record(NOW, "clock", bytes(16), 1, Event("job_refused", job_id=own.job.id, board=FAR[1]))
    far.keeper.stored([(FAR[0], done)], NOW)
    assert sent(far.keeper.share(NOW)) == [(1, *FAR)]


def test_jobs_that_share_a_run_go_together(pair):
    near, far = pair
    near.ask(replace(request(1), use_cache=True), replace(request(2), use_cache=True))
    near.keeper.share(NOW)
    far.hear(FAR)
    assert sent(far.keeper.share(NOW)) == [(1, *FAR)]
    assert sorted(said(near.keeper.share(NOW))) == [(1, "queued", FAR[0]), (2, "queued", FAR[0])]
    done = Record(NOW, "clock", bytes(16), 1, Event("job_refused", "", "no", FAR[1], job_id=(1).to_bytes(16)))
    far.keeper.stored([(FAR[0], done)], NOW)
    assert far.keeper.knows((2).to_bytes(16))


def test_who_joins_a_run_that_was_taken_gets_one_of_its_own(pair):
    near, far = pair
    near.ask(replace(request(1), use_cache=True))
    near.keeper.share(NOW)
    far.hear(FAR)
    far.keeper.share(NOW)
    actions = near.ask(replace(request(2), use_cache=True))
    assert said(actions)[-1] == (2, "queued", "")
    assert (near.keeper.knows((1).to_bytes(16)), near.keeper.knows((2).to_bytes(16))) == (False, True)
    assert sent(near.hear(NEAR)) == [(2, *NEAR)]


def test_a_job_of_any_board_is_kept_by_the_node_that_makes_it(pair, owner):
    near, far = pair
    near.ask(request(1))
    near.keeper.share(NOW)
    far.hear(FAR)
    far.keeper.share(NOW)
    [job] = owner("next", [partition_of(FAR[0])]).load()
    assert (job.request.job.node, job.request.job.board, job.node) == (*FAR, FAR[0])


@pytest.mark.parametrize("seed", range(5))
def test_whatever_order_two_collectors_look_in_each_run_is_sent_by_one_alone(pair, seed):
    rng = random.Random(seed)
    sites = {NEAR: pair[0], FAR: pair[1]}
    by: dict[int, set[str]] = {}
    under_way: dict[int, tuple[str, str]] = {}
    asked = 0
    for _ in range(400):
        board = rng.choice([NEAR, FAR])
        site, actions = sites[board], list[Action]()
        what = rng.choice(["ask", "share", "share", "hear", "end", "end"])
        if what == "ask":
            asked += 1
            actions = pair[0].ask(request(asked))
        elif what == "share":
            actions = site.keeper.share(NOW)
        elif what == "hear":
            actions = site.hear(board, rng.choice(["idle", "idle", "open"]), [n.to_bytes(16) for n in under_way])
        elif under_way:
            ends, its = under_way.popitem()
            over = Event("job_refused", job_id=ends.to_bytes(16), board=its[1])
            actions = sites[its].keeper.stored([(its[0], Record(NOW, "clock", bytes(16), 1, over))], NOW)
        for one, node, name in sent(actions):
            by.setdefault(one, set()).add(node)
            under_way[one] = (node, name)
    assert len(by) > 20
    assert {tuple(nodes) for nodes in by.values()} == {(NEAR[0],), (FAR[0],)}

"""What every store of jobs promises, on a file and on a real Redis; and what a Redis of several owners promises."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tinyprof_collector.jobs.actions import Answer, ReplyTo, Send
from tinyprof_collector.jobs.book import JobBook
from tinyprof_collector.jobs.entry import KeptJob
from tinyprof_collector.jobs.keeper import JobKeeper
from tinyprof_collector.jobs.sqlite_store import SqliteJobStore
from tinyprof_collector.jobs.store import JobChanges, JobStore, JobStoreFailed, TakenByOthers
from tinyprof_collector.presence import Presence
from tinyprof_protocol import topics
from tinyprof_protocol.jobs import Job, ProfileRequest
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import AgentStatus, BoardPresence

S = 10**9
NOW = 4_000_000_000 * S
NODE, OTHER = "lab.one", "lab.bench"
CLIENT = "ab" * 16
TO = ReplyTo(topics.replies(CLIENT), b"c")
RUN = (1).to_bytes(16)


def kept(number: int, state: str = "queued", node: str = NODE, *, has_result: bool = False) -> KeptJob:
    job = Job(number.to_bytes(16), node, "b1", NOW + S)
    return KeptJob(
        ProfileRequest(job), CLIENT, NOW + number, state, job.id, "a line", node, "b1", has_result=has_result
    )  # type: ignore[arg-type]


@pytest.fixture(params=["sqlite", "redis"])
def next_life(request, tmp_path: Path) -> Iterator[Callable[[], JobStore]]:
    """The store of a collector's next life."""
    if request.param == "redis":
        yield request.getfixturevalue("owner")
        return
    lives: list[SqliteJobStore] = []

    def again() -> JobStore:
        for one in lives:
            one.close()
        lives.append(SqliteJobStore(tmp_path / "jobs.sqlite"))
        return lives[-1]

    yield again
    lives[-1].close()


# ---- every store


def test_what_was_kept_is_there_in_the_next_life_in_the_order_it_was_asked_for(next_life):
    store = next_life()
    assert store.load() == []
    store.keep(JobChanges([kept(2), kept(1), kept(3, node=OTHER)]))
    store.keep(JobChanges([kept(1, "finished", has_result=True)], [kept(3).request.job.id], [(RUN, b"bytes")]))
    again = next_life()
    assert again.load() == [kept(1, "finished", has_result=True), kept(2)]
    assert (again.result(RUN), again.result(b"x" * 16)) == (b"bytes", None)


def test_a_result_goes_with_its_job(next_life):
    store = next_life()
    store.load()
    store.keep(JobChanges([kept(1, "finished", has_result=True)], results=[(RUN, b"bytes")]))
    again = next_life()
    again.load()
    again.keep(JobChanges(gone=[RUN], results_gone=[RUN]))
    assert again.result(RUN) is None
    last = next_life()
    assert last.load() == []


# ---- several owners


def test_jobs_are_loaded_by_who_serves_their_partition(owner):
    one = owner("one")
    one.load()
    one.keep(JobChanges([kept(1), kept(2, node=OTHER)]))
    assert owner("two", [partition_of(OTHER)]).load() == [kept(2, node=OTHER)]
    assert owner("three", [n for n in range(16) if n != partition_of(OTHER)]).load() == [kept(1)]


def test_an_owner_that_wakes_late_resurrects_overwrites_and_deletes_nothing(owner):
    late, newer = owner("late"), owner("newer")
    late.load()
    late.keep(JobChanges([kept(1), kept(2), kept(3)]))
    newer.load()
    newer.keep(JobChanges([kept(1, "finished", has_result=True)], [kept(2).request.job.id], [(RUN, b"newer")]))
    changes = JobChanges(
        [kept(1, "expired"), kept(2), kept(4)], [kept(3).request.job.id], [(RUN, b"late")], [RUN]
    )  # fmt: skip
    with pytest.raises(TakenByOthers) as taken:
        late.keep(changes)
    assert taken.value.partitions == {partition_of(NODE)}
    late.keep(JobChanges(gone=[kept(3).request.job.id], results_gone=[RUN]))
    again = owner("again")
    assert again.load() == [kept(1, "finished", has_result=True), kept(3)]
    assert again.result(RUN) == b"newer"


def test_one_of_the_same_name_that_wakes_late_is_late_all_the_same(owner):
    late, newer = owner("one"), owner("one")
    late.load()
    newer.load()
    with pytest.raises(TakenByOthers):
        late.keep(JobChanges([kept(1)]))


def test_results_last_a_day_longer_than_their_deadline(owner, server):
    store = owner()
    store.load()
    store.keep(JobChanges([kept(1, "finished", has_result=True)], results=[(RUN, b"bytes")]))
    with server.client() as client:
        [key] = client.keys("*job-result*")
        assert client.pexpiretime(key) == (NOW + S) // 10**6 + 86_400_000


def test_a_redis_that_has_forgotten_the_claims_takes_no_job(owner, server):
    store = owner()
    store.load()
    with server.client() as client:
        client.flushall()
    with pytest.raises(JobStoreFailed, match="has lost what it kept"):
        store.keep(JobChanges([kept(1)]))
    with server.client() as client:
        assert not client.keys("*:jobs")


def test_a_job_that_cannot_be_read_counts_as_lost(owner, server):
    store = owner()
    store.load()
    store.keep(JobChanges([kept(1), kept(2)]))
    with server.client() as client:
        [key] = client.keys("*:jobs")
        client.hset(key, RUN, b"\xc1")
    assert owner().load() == [kept(2)]


# ---- the keeper on it


def keeper(store: JobStore) -> JobKeeper:
    presence = Presence()
    made = JobKeeper(JobBook(10, presence.agents), store)
    for node in (NODE, OTHER):
        presence.hear(AgentStatus(node, "online", boards=[BoardPresence("b1", "host", "idle")]), NOW)
    return made


def request(number: int, node: str = NODE) -> ProfileRequest:
    return ProfileRequest(Job(number.to_bytes(16), node, "b1", NOW + 100 * S, max_tokens=number))


def said(actions) -> list[tuple[str, str]]:
    """What is sent and answered, with the node of the one and the state or failure of the other."""
    return [
        ("send", one.job.node)
        if isinstance(one, Send)
        else ("say", getattr(one.reply, "state", None) or one.reply.code)
        for one in actions
    ]


def test_a_late_owner_leaves_the_jobs_of_what_was_taken_and_goes_on_with_the_rest(owner):
    late = keeper(owner("late"))
    late.ask([(request(1), TO), (request(2, OTHER), TO)], NOW)
    newer = keeper(owner("newer", [partition_of(NODE)]))
    actions = late.ask([(request(3), TO), (request(4, OTHER), TO)], NOW)
    assert sorted(said(actions)) == [("say", "not_kept"), ("say", "queued"), ("send", OTHER)]
    assert [late.knows(n.to_bytes(16)) for n in (1, 2, 3, 4)] == [False, True, False, True]
    assert (late.check(), late.counters()["jobs_left"]) == ("", 2)
    [answer] = newer.ask([(request(1), TO)], NOW)
    assert isinstance(answer, Answer)
    assert answer.reply.state == "queued"
    assert not newer.knows((3).to_bytes(16))


def test_a_late_owner_tells_nobody_that_a_job_of_another_has_ended(owner):
    late = keeper(owner("late"))
    late.ask([(request(1), TO)], NOW)
    newer = keeper(owner("newer"))
    assert said(late.tick(NOW + 200 * S)) == []
    assert newer.knows((1).to_bytes(16))
    assert [one.state for one in owner("again").load()] == ["queued"]


def test_while_the_redis_is_away_no_job_is_promised_and_what_was_given_up_does_not_come_back(owner, server):
    jobs = keeper(owner())
    server.kill()
    assert said(jobs.ask([(request(1), TO)], NOW)) == [("say", "not_kept")]
    assert "redis" in jobs.check()
    server.start()
    assert said(jobs.ask([(request(2), TO)], NOW)) == [("say", "queued"), ("send", NODE)]
    assert [one.request.job.id for one in owner().load()] == [(2).to_bytes(16)]

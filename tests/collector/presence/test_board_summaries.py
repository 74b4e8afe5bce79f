from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from tinyprof_collector.board_history import MAX_SERIES, BoardHistory
from tinyprof_collector.config import HealthConfig
from tinyprof_collector.news import Known, News
from tinyprof_collector.presence import Presence
from tinyprof_collector.stores.store import Arrival
from tinyprof_collector.summaries import MAX_AT_ONCE, Summaries, page
from tinyprof_protocol.codec import pack
from tinyprof_protocol.presence import SPARK_POINTS, AgentStatus, BoardPresence
from tinyprof_protocol.records import (
    Build,
    ClockReport,
    Conditions,
    Event,
    Figure,
    Record,
    Result,
    Sample,
)

S = 10**9
NOW = 1_800_000_000 * S
NODE = "lab.pi"
KEY = (NODE, "b1")
BUILD = Build("pico", "tp", "1", "tiny", "0" * 64, "Q4_0", "f32", "int8", 256, "device")


def result(time_ns, verdict="valid", decode=100.0, suite="quick", job_id=None) -> Record:
    body = Result(
        bytes(16), "b1", BUILD, suite, [], 1, verdict, ["why"] if verdict == "invalid" else [], "match",
        ClockReport("checked"), {"decode_tps": Figure(decode)}, [], Conditions(), 1.0, job_id=job_id,
    )  # fmt: skip
    return Record(time_ns, "clock", bytes(16), 1, body)


def sample(time_ns, temperature) -> Record:
    return Record(time_ns, "clock", bytes(16), 1, Sample({"temperature_c": temperature}, "b1"))


def store(summaries: Summaries, records: list[Record], now_ns: int) -> None:
    told = News()
    told.add([Arrival(NODE, bytes(16), n, pack(record), record) for n, record in enumerate(records)], Known())
    for key, said in told.boards.items():
        summaries.stored(key, said, now_ns)


def with_agent(*, emulated: bool = False, labels: Sequence[str] = ()) -> tuple[Summaries, Presence]:
    presence = Presence()
    board = BoardPresence(
        "b1", "probe", "running", "listed-platform", "listed-model", 60.0, emulated=emulated, labels=list(labels)
    )
    presence.hear(AgentStatus(NODE, "online", time_ns=NOW, boards=[board]), NOW)
    return Summaries(HealthConfig()), presence


def test_a_summary_shows_the_newest_result_and_sample_whatever_their_order():
    summaries, presence = with_agent()
    for record in (
        result(NOW + 2, "unstable", 3.0),
        result(NOW + 1, "valid", 2.0),
        sample(NOW + 5, 50),
        sample(NOW, 9),
    ):
        store(summaries, [record], NOW)
    found = summaries.summary(KEY, presence, NOW)
    assert (found.verdict, found.last_result_ns) == ("unstable", NOW + 2)
    assert found.readings == {"temperature_c": 50}
    assert found.spark == [2.0, 3.0]
    assert (found.results, found.valid, found.unstable, found.invalid) == (2, 1, 1, 0)
    assert found.health == "healthy"
    assert (found.platform, found.model, found.driver, found.state) == ("pico", "tiny", "probe", "running")


def test_before_any_result_the_agents_word_is_shown():
    summaries, presence = with_agent()
    summaries.touch(presence.boards())
    (found,) = summaries.due(presence, NOW, 0.0)
    assert (found.platform, found.model, found.results, found.verdict) == ("listed-platform", "listed-model", 0, None)


def test_the_labels_that_the_agent_tells_are_shown():
    summaries, presence = with_agent(labels=["rack-1"])
    assert summaries.summary(KEY, presence, NOW).labels == ["rack-1"]


@pytest.mark.parametrize("emulated", [False, True])
def test_an_emulated_board_is_called_so_before_any_result(emulated):
    summaries, presence = with_agent(emulated=emulated)
    assert summaries.summary(KEY, presence, NOW).emulated is emulated


def test_a_summary_is_due_when_it_changed_and_not_twice_within_a_second():
    summaries, presence = with_agent()
    store(summaries, [result(NOW)], NOW)
    assert len(summaries.due(presence, NOW, 0.0)) == 1
    assert summaries.due(presence, NOW, 5.0) == []
    summaries.touch([KEY])
    assert summaries.due(presence, NOW + 1, 6.0) == []
    store(summaries, [result(NOW + 1)], NOW)
    assert len(summaries.due(presence, NOW, 6.5)) == 1
    store(summaries, [result(NOW + 2)], NOW)
    assert summaries.due(presence, NOW, 7.0) == []
    (found,) = summaries.due(presence, NOW, 7.6)
    assert found.results == 3


def test_all_are_due_anew_after_a_connect_and_after_a_failed_publication():
    summaries, presence = with_agent()
    store(summaries, [result(NOW)], NOW)
    (found,) = summaries.due(presence, NOW, 0.0)
    summaries.forget_published()
    assert summaries.due(presence, NOW, 0.1) == [found]
    summaries.unpublished(found)
    assert summaries.due(presence, NOW, 0.2) == [found]


def test_one_call_gives_only_so_many_and_the_next_goes_on():
    summaries, presence = with_agent()
    keys = [(NODE, f"b{n}") for n in range(MAX_AT_ONCE + 50)]
    summaries.touch(keys)
    first, second = summaries.due(presence, NOW, 0.0), summaries.due(presence, NOW, 0.0)
    assert (len(first), len(second)) == (MAX_AT_ONCE, 50)
    assert {(found.node, found.board) for found in first + second} == set(keys)
    assert summaries.due(presence, NOW, 9.0) == []


def test_time_alone_makes_a_board_stale():
    summaries, presence = with_agent()
    summaries.touch(presence.boards())
    assert summaries.due(presence, NOW, 0.0)[0].health == "healthy"
    summaries.touch_all()
    assert summaries.due(presence, NOW + 91 * S, 91.0)[0].health == "stale"


def test_invalid_runs_in_a_row_turn_critical():
    summaries, presence = with_agent()
    seen = []
    for n in range(3):
        store(summaries, [result(NOW + n, "invalid")], NOW)
        seen.append(summaries.summary(KEY, presence, NOW).health)
    assert seen == ["warning", "warning", "critical"]
    store(summaries, [result(NOW + 9, "valid")], NOW)
    assert summaries.summary(KEY, presence, NOW).health == "healthy"


def test_the_spark_is_bounded_and_counts_go_on():
    summaries, presence = with_agent()
    for n in range(SPARK_POINTS + 5):
        store(summaries, [result(NOW + n, decode=float(n))], NOW)
    found = summaries.summary(KEY, presence, NOW)
    assert found.spark == [float(n) for n in range(5, SPARK_POINTS + 5)]
    assert found.results == SPARK_POINTS + 5


JOB = b"j" * 16


def test_a_run_that_a_client_asked_for_does_not_stand_for_the_board():
    summaries, presence = with_agent()
    store(summaries, [result(NOW + n, decode=float(n)) for n in range(3)], NOW)
    asked = [result(NOW + 3, "invalid", 900.0, "standard", JOB), result(NOW + 4, "invalid", 901.0, "standard", JOB)]
    store(summaries, asked, NOW)
    found = summaries.summary(KEY, presence, NOW)
    assert (found.verdict, found.last_result_ns, found.health) == ("valid", NOW + 2, "healthy")
    assert (found.figures["decode_tps"].value, found.spark) == (2.0, [0.0, 1.0, 2.0])
    assert (found.results, found.valid, found.invalid) == (5, 3, 2)


def test_a_run_that_a_client_asked_for_as_the_schedule_does_is_of_its_series():
    summaries, presence = with_agent()
    store(summaries, [result(NOW, decode=1.0), result(NOW + 1, decode=2.0, job_id=JOB)], NOW)
    assert summaries.summary(KEY, presence, NOW).spark == [1.0, 2.0]


def test_without_a_schedule_the_newest_run_stands_for_the_board_until_one_is_scheduled():
    summaries, presence = with_agent()
    seen = []
    for record in (
        result(NOW + 1, decode=1.0, job_id=JOB),
        result(NOW + 2, decode=2.0, suite="standard", job_id=JOB),
        result(NOW, decode=3.0),
        result(NOW + 3, decode=4.0, suite="standard", job_id=JOB),
    ):
        store(summaries, [record], NOW)
        seen.append(summaries.summary(KEY, presence, NOW).spark)
    assert seen == [[1.0], [2.0], [3.0, 1.0], [3.0, 1.0]]


def test_a_schedule_that_takes_turns_keeps_a_spark_for_each_suite():
    summaries, presence = with_agent()
    for n in range(6):
        store(summaries, [result(NOW + n, decode=float(n), suite=("quick", "standard")[n % 2])], NOW)
    assert summaries.summary(KEY, presence, NOW).spark == [1.0, 3.0, 5.0]
    store(summaries, [result(NOW + 6, decode=6.0)], NOW)
    assert summaries.summary(KEY, presence, NOW).spark == [0.0, 2.0, 4.0, 6.0]


def test_series_of_a_board_are_kept_within_a_bound_and_the_shown_one_always():
    summaries, presence = with_agent()
    store(summaries, [result(NOW, decode=7.0)], NOW)
    for n in range(3 * MAX_SERIES):
        store(summaries, [result(NOW + 1 + n, suite=f"s{n}", job_id=JOB)], NOW)
    assert len(summaries.boards[KEY].runs) == MAX_SERIES
    assert summaries.summary(KEY, presence, NOW).spark == [7.0]


def test_records_of_the_host_itself_make_no_board():
    summaries, _ = with_agent()
    store(summaries, [Record(NOW, "clock", bytes(16), 1, Event("clock_step"))], NOW)
    assert summaries.boards == {}


def test_a_restored_board_shows_what_the_store_had():
    summaries, presence = with_agent()
    history = BoardHistory(verdicts={"valid": 7, "invalid": 1})
    summaries.restore(KEY, history)
    (found,) = summaries.due(presence, NOW, 0.0)
    assert (found.results, found.valid, found.invalid) == (8, 7, 1)


def test_a_page_is_ordered_and_counts_all():
    summaries, presence = with_agent()
    keys = [("b.b", "x"), ("a.a", "y"), ("a.a", "x")]
    made, total = page(keys, None, 1, 1, lambda key: summaries.summary(key, presence, NOW))
    assert ([(s.node, s.board) for s in made], total) == ([("a.a", "y")], 3)
    made, total = page(keys, "a.a", 0, 9, lambda key: summaries.summary(key, presence, NOW))
    assert ([s.board for s in made], total) == (["x", "y"], 2)
    assert replace(made[0], board="y") == made[1]

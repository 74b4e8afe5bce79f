"""What the pipeline's screen decides: whose word counts, what is to be said of an epoch, where the flow is stuck."""

from pathlib import Path

from msgspec.structs import replace

from tinyprof_dashboard import example_pipeline as example
from tinyprof_dashboard.asked import ASK_EVERY_S, GIVE_UP_S, due
from tinyprof_dashboard.availability import Heard
from tinyprof_dashboard.columns import Moment, Order
from tinyprof_dashboard.events import Asked, Came, CollectorSeen, LinkChanged
from tinyprof_dashboard.example_fleet import NOW_NS, SECOND_NS
from tinyprof_dashboard.numerals import count
from tinyprof_dashboard.pipeline import view as views
from tinyprof_dashboard.pipeline.columns import lag_s, lag_text
from tinyprof_dashboard.pipeline.lines import BACKLOG_S, STATES, State, ledger_lines, partitions_text, state_of
from tinyprof_dashboard.pipeline.listing import pipeline_json, plain_pipeline, scene_of
from tinyprof_dashboard.pipeline.stages import Verdict, stages, verdict
from tinyprof_dashboard.pipeline.view import LedgerView
from tinyprof_dashboard.pipeline.words import epoch_words, flow, verdict_lines
from tinyprof_dashboard.snapshot import Snapshot, reduce
from tinyprof_protocol.names import PARTITIONS
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.requests import LEDGER_CLASSES, AgentDelivery, LedgerReply, LedgerRow

NODE = "berlin.bench"


def played(found: example.Example, *more: object) -> Snapshot:
    answers = [Came("ledgers", name, reply) for name, reply in found.ledgers.items()]
    events = [*found.events(), Asked("ledgers", tuple(found.ledgers)), *answers, *more]
    return reduce(Snapshot(), events, NOW_NS)  # type: ignore[arg-type]


def judged(found: example.Example, *more: object) -> Verdict:
    return verdict(scene_of(Moment(played(found, *more), NOW_NS)))


def heard(*, online: bool = True, alive: bool = True) -> Heard[AgentStatus]:
    return Heard(AgentStatus(NODE, "online" if online else "offline"), NOW_NS, alive)


def state(agent: Heard[AgentStatus] | None = None, **classes: object) -> State:
    return state_of(LedgerRow(NODE, bytes(16), 99, **classes), agent or heard())  # type: ignore[arg-type]


def test_the_worst_word_that_applies_is_said_of_an_epoch() -> None:
    everything = {"missing": 1, "in_spool": 1, "oldest_s": BACKLOG_S, "discarded": 1, "quarantined": 1, "evicted": 1}
    gone, silent = heard(online=False, alive=False), heard(alive=False)
    told: list[State] = []
    for name in ("missing", "offline", "silent", "in_spool", "discarded", "quarantined", "evicted"):
        agent = gone if name in ("missing", "offline") else silent if name == "silent" else heard()
        told.append(state(agent, **everything))
        everything.pop("in_spool" if name == "in_spool" else name, None)
    assert told == ["missing", "offline", "silent", "held up", "discarded", "quarantined", "evicted"]
    assert state(in_spool=3, oldest_s=BACKLOG_S - 1) == "on its way"
    assert state(in_spool=3) == "on its way"
    assert state(gone) == state(evicted=2, forgotten=True) == "settled"


def test_the_live_owners_word_on_a_node_counts_before_a_newer_one() -> None:
    found = example.settled()
    (mine,) = [row for row in found.ledgers["hub"].rows if row.node == NODE and not row.forgotten]
    other = replace(mine, stored=1)
    found.collectors["late"] = replace(example.collector(stored=9_000), partitions=[])
    events = [Asked("ledgers", ("hub", "late")), Came("ledgers", "hub", LedgerReply([mine], True))]
    snapshot = reduce(played(found), [*events], NOW_NS)
    snapshot = reduce(snapshot, [Came("ledgers", "late", LedgerReply([other], True))], NOW_NS + SECOND_NS)
    (line,) = [line for line in ledger_lines(snapshot) if line.node == NODE]
    assert line.row == mine
    gone = CollectorSeen(replace(example.collector(stored=9_000), state="offline"), live=True)
    snapshot = reduce(snapshot, [gone], NOW_NS + SECOND_NS)
    (line,) = [line for line in ledger_lines(snapshot) if line.node == NODE]
    assert line.row == other


def test_an_agent_of_which_no_collector_tells_is_shown_by_its_own_word() -> None:
    lines = {line.node: line for line in ledger_lines(played(example.silent_collector()))}
    assert (lines[NODE].state, lines[NODE].in_spool, lines[NODE].oldest_s) == ("untold", 240, 118.0)
    assert lines["lima.lab"].state == "settled"


def test_where_it_is_stuck_is_told_from_the_store_backwards() -> None:
    dead = example.dead_database()
    told = judged(dead)
    assert (told.stage, told.text) == ("stores", f"influxdb: {example.UNREACHABLE}")
    dead.collectors["hub"] = replace(dead.collectors["hub"], stores={"influxdb": "healthy"}, store_errors={})
    assert judged(dead).stage == "collectors"
    assert "nothing acknowledged for 4m" in judged(dead).text
    dead.collectors["hub"] = replace(dead.collectors["hub"], holding_s=None)
    told = judged(dead)
    assert told.stage == "agents"
    assert told.text == "berlin.bench, lima.lab and 1 more catching up, keeping 32,526 records, the oldest for 4m"
    lost = judged(example.something_missing())
    assert (lost.stage, lost.level) == ("agents", "warning")
    assert lost.text == "oslo.rack1 offline, keeping 323 records, the oldest for 31m"
    assert lost.loss.startswith("12 records of lima.lab: the agent no longer lists this epoch")
    assert (judged(example.settled()).stage, judged(example.settled()).level) == (None, "healthy")


def test_partitions_that_nobody_holds_are_stuck_at_the_collectors() -> None:
    assert judged(example.silent_collector()).text == "hub has been silent for 2m; no live one holds partitions 00–07"
    nobody = example.Example()
    assert (judged(nobody).stage, judged(nobody).text) == ("collectors", "no live one holds partitions 00–15")
    away = LinkChanged(False, "no broker at mqtt://b: Connection refused", 4, NOW_NS + 9 * SECOND_NS)
    assert judged(example.dead_database(), away).stage == "broker"


def test_each_stage_shows_what_it_holds() -> None:
    scene = scene_of(Moment(played(example.dead_database()), NOW_NS))
    assert [(stage.name, stage.health, stage.word, stage.lines) for stage in stages(scene)] == [
        ("boards", "healthy", "9 healthy", ("0 running",)),
        ("agents", "warning", "3 online", ("32,526 owed", "oldest 4m")),
        ("broker", "healthy", "connected", ()),
        ("collectors", "critical", "holding 4m", ("24 wait", "0 stored/s")),
        ("stores", "critical", "influxdb", ("takes nothing", "sqlite")),
    ]
    nothing = scene_of(Moment(Snapshot(), NOW_NS))
    assert {stage.health for stage in stages(nothing)} == {"stale"}


def test_a_ledger_is_due_once_an_interval_and_again_where_no_answer_comes() -> None:
    def at(seconds: float) -> int:
        return NOW_NS + round(seconds * SECOND_NS)

    snapshot = reduce(Snapshot(), [], NOW_NS)
    assert due(snapshot.ledgers, ["hub"], NOW_NS) == ["hub"]
    snapshot = reduce(snapshot, [Asked("ledgers", ("hub",))], NOW_NS)
    assert due(snapshot.ledgers, ["hub"], at(ASK_EVERY_S)) == []
    assert due(snapshot.ledgers, ["hub"], at(GIVE_UP_S)) == ["hub"]
    snapshot = reduce(snapshot, [Came("ledgers", "hub", LedgerReply([], True))], at(1))
    assert due(snapshot.ledgers, ["hub"], at(ASK_EVERY_S - 0.1)) == []
    assert due(snapshot.ledgers, ["hub", "new"], at(ASK_EVERY_S)) == ["hub", "new"]
    assert due(snapshot.ledgers, ["hub"], at(-3600)) == ["hub"], "a clock that was set back must not stop the asking"


def test_an_error_keeps_the_last_answer_and_an_unasked_answer_is_passed_over() -> None:
    snapshot = reduce(
        played(example.settled()), [Came("ledgers", "hub", None, "busy"), Came("ledgers", "who", None, "?")], NOW_NS
    )
    assert (snapshot.ledgers["hub"].error, len(snapshot.ledgers["hub"].reply.rows)) == ("busy", 6)  # type: ignore[union-attr]
    assert "who" not in snapshot.ledgers


def test_what_is_stored_a_second_is_told_between_two_words_and_not_over_a_restart() -> None:
    first = replace(example.collector(stored=100), time_ns=NOW_NS, started_ns=5)
    second = replace(first, time_ns=NOW_NS + 4 * SECOND_NS, counters={"stored": 140})
    anew = replace(second, time_ns=NOW_NS + 8 * SECOND_NS, started_ns=6, counters={"stored": 3})
    rates = []
    snapshot = Snapshot()
    for status in (first, second, second, anew):
        snapshot = reduce(snapshot, [CollectorSeen(status, live=True)], status.time_ns)
        rates.append(snapshot.stored_per_s.get("hub"))
    assert rates == [None, 10.0, 10.0, None]


def test_sorting_and_leaving_out_what_is_settled() -> None:
    moment = Moment(played(example.something_missing()), NOW_NS)
    lines = ledger_lines(moment.snapshot)
    shown = views.select(LedgerView(unsettled=True), lines, moment)
    assert [(line.node, line.state) for line in shown] == [("lima.lab", "missing"), ("oslo.rack1", "offline")]
    by_made = views.select(LedgerView(Order("head", True)), lines, moment)
    made = [line.row.head for line in by_made if line.row is not None]
    assert made == sorted(made, reverse=True)
    view = views.sort_beside(LedgerView(), -1)
    assert view.order.column == "stored_on_word"
    assert views.sort_by(view, "stored_on_word").order.reverse != view.order.reverse


def test_a_lag_is_the_median_of_late_or_what_the_one_under_way_has_waited() -> None:
    lines = {line.node: line for line in ledger_lines(played(example.dead_database()))}
    assert lag_s(lines[NODE]) == 247.0
    settled = [line for line in ledger_lines(played(example.settled())) if line.node == NODE]
    assert {lag_s(line) for line in settled} == {None, 0.011}
    assert [lag_text(value) for value in (None, 0.0114, 0.9994, 1.24, 40.0, 300.0)] == [
        "·", "11ms", "999ms", "1.2s", "40s", "5m",
    ]  # fmt: skip


def test_counts_keep_their_thousands_apart_and_fit_their_cells() -> None:
    assert [count(value, 9) for value in (0, 999, 1_204_877, 123_456_789, 2**53)] == [
        "0", "999", "1,204,877", "123.46M", "9.01P",
    ]  # fmt: skip
    assert all(len(count(10**power - 1, 5)) <= 5 for power in range(16))
    assert partitions_text([0, 1, 2, 5]) == "00 01 02 05"
    assert partitions_text(list(range(PARTITIONS))) == "00–15"


def test_no_pair_is_torn_apart_and_long_words_end_with_an_ellipsis() -> None:
    moment = Moment(played(example.something_missing()), NOW_NS)
    lost = next(line for line in ledger_lines(moment.snapshot) if line.state == "missing")
    for width in (60, 78, 138):
        lines = epoch_words(lost, moment, width)
        assert all(line.cell_len <= width for line in lines)
        assert any(line.plain.rstrip().endswith("12 missing") for line in lines)
    assert flow([], 10) == []
    long = Verdict("critical", "stores", "x" * 40 + " " + "y " * 90, "12 records")
    told = verdict_lines(long, 60, 2)
    assert [len(told), told[0].plain.rstrip()[-1], told[1].plain.startswith("missing: 12 records")] == [2, "…", True]


def test_hostile_text_reaches_no_terminal() -> None:
    found = example.settled()
    row = LedgerRow(NODE, bytes(16), 2, missing=2, cause="a\x1b[2Jb", forgotten=True)
    found.ledgers["hub"] = LedgerReply([row], False, agents=[AgentDelivery(NODE, NOW_NS)])
    found.collectors["hub"] = replace(
        found.collectors["hub"], stores={"in\x1bflux": "critical"}, store_errors={"in\x1bflux": "\x07"}
    )
    moment = Moment(played(found), NOW_NS)
    words = [line.plain for line in epoch_words(ledger_lines(moment.snapshot)[0], moment, 100)]
    assert not any(c in plain_pipeline(moment) + "".join(words) for c in "\x1b\x07")


def test_the_json_is_whole() -> None:
    told = pipeline_json(Moment(played(example.something_missing()), NOW_NS))
    assert (told["stuck_at"], told["ok"], told["problems"]) == ("agents", False, ["lima.lab: 12 missing"])
    assert [stage["name"] for stage in told["stages"]] == ["boards", "agents", "broker", "collectors", "stores"]
    first = told["ledger"][0]
    assert (first["node"], first["state"], first["missing"], first["evicted"]) == ("lima.lab", "missing", 12, 13)
    assert sum(told["sums"].values()) == 2 * told["sums"]["head"]
    document = (Path(__file__).parents[2] / "docs" / "dashboard.md").read_text()
    for keys in (told, told["stages"][0], told["collectors"][0], {key for key in first if key not in LEDGER_CLASSES}):
        assert all(f"`{key}`" in document for key in keys)


def test_every_state_is_in_the_document() -> None:
    document = (Path(__file__).parents[2] / "docs" / "dashboard.md").read_text()
    table = document.split("| state | of an epoch |")[1].split("\n\n")[0]
    assert {name for name in STATES if f"`{name}`" in table} == set(STATES)

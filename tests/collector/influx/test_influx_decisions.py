"""Answers, blame, suspicion and cardinality: the pure decisions of the InfluxDB store."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_collector.stores.influx.answers import (
    HttpAnswer,
    hold_line,
    is_past_retention,
    meaning_of,
    oldest_kept_ns,
    reason_of,
    retry_after_s,
)
from tinyprof_collector.stores.influx.blame import REFUSALS_A_TURN, Halving
from tinyprof_collector.stores.influx.cardinality import DAY_NS, MAX_KNOWN, SeriesGuard
from tinyprof_collector.stores.influx.posting import Poster
from tinyprof_collector.stores.influx.suspects import Suspects
from tinyprof_collector.stores.store import StoreFailed

PAST = (
    '{"code":"unprocessable entity","message":"failure writing points to database: partial write: dropped 1 points '
    "outside retention policy of duration 720h0m0s - oldest point m,a=b at 2026-10-24T01:13:36.33Z dropped because it "
    'violates a Retention Policy Lower Bound at 2026-10-25T01:13:36.390146638Z, newest point"}'
)


class Saying:
    """A server of the test's own: it refuses lines that have the word bad, and those past the retention."""

    def __init__(self, most: int = 10**6, canary: int = 204, known_bound: bool = True) -> None:
        self.most, self.canary, self.known_bound = most, canary, known_bound
        self.posts: list[list[str]] = []
        self.written: set[str] = set()

    def write(self, lines):
        self.posts.append(list(lines))
        if lines == ["canary"]:
            return HttpAnswer(self.canary, "")
        if len(lines) > self.most:
            return HttpAnswer(413, "too large")
        if any("bad" in line for line in lines):
            return HttpAnswer(400, '{"message":"unable to parse"}')
        if any("old" in line for line in lines):
            self.written.update(line for line in lines if "old" not in line)
            return HttpAnswer(422, PAST if self.known_bound else "points beyond retention policy dropped=1")
        self.written.update(lines)
        return HttpAnswer(204)

    def failed(self, answer):
        return StoreFailed(f"HTTP {answer.status}")


def post(server, lines, times_ns=None, owners=None, most=100):
    poster = Poster(server, most, lambda: "canary")
    return poster, poster.post(lines, times_ns or [0] * len(lines), owners or [str(n) for n in range(len(lines))])


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(204, "written"), (400, "refused"), (422, "refused"), (413, "too_large"), (201, "refused"), (0, "hold"),
     (200, "hold"), (301, "hold"), (401, "hold"), (403, "hold"), (404, "hold"), (429, "hold"), (500, "hold"),
     (503, "hold")],
)  # fmt: skip
def test_only_what_is_about_lines_is_no_hold(status, meaning):
    assert meaning_of(HttpAnswer(status)) == meaning


def test_the_servers_words_as_one_line():
    assert reason_of(HttpAnswer(400, '{"code":"invalid","message":"a\\n b"}')) == "a b"
    assert reason_of(HttpAnswer(400, '{"error":"partial write"}')) == "partial write"
    assert reason_of(HttpAnswer(502, "<html>\nbad gateway")) == "<html> bad gateway"
    assert reason_of(HttpAnswer(503)) == "HTTP 503 without a word"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", None), ("7", 7.0), ("86400", 300.0), ("-3", 0.0), ("nan", None), ("soon", None),
     ("Tue, 24 Nov 2026 00:01:00 GMT", 60.0), ("Mon, 23 Nov 2026 00:00:00 GMT", 0.0)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date_and_at_most_five_minutes(text, seconds):
    now = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
    assert retry_after_s(HttpAnswer(429, "", text), now) == seconds


def test_the_bound_of_the_retention_is_read_from_the_refusal():
    reason = reason_of(HttpAnswer(422, PAST), 4096)
    assert is_past_retention(reason)
    bound = dt.datetime(2026, 10, 25, 1, 13, 36, tzinfo=dt.UTC)
    assert oldest_kept_ns(reason) == int(bound.timestamp()) * 10**9 + 390146638
    assert oldest_kept_ns("partial write: points beyond retention policy dropped=1") is None
    assert is_past_retention("partial write: points beyond retention policy dropped=1")
    assert not is_past_retention("field type conflict")


@pytest.mark.parametrize("status", [0, 401, 403, 404, 429, 500])
def test_a_hold_is_one_line_that_names_the_server(status):
    line = hold_line(HttpAnswer(status, "some\nthing"), "http://db:8086", "b", "o")
    assert line.startswith("store influxdb http://db:8086: ")
    assert "\n" not in line


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["good", "good", "good", "good", "bad"]), min_size=1, max_size=60), st.integers(1, 70))
def test_all_that_is_good_is_written_and_what_is_bad_is_refused_alone(kinds, most):
    lines = [f"{kind} {n}" for n, kind in enumerate(kinds)]
    server = Saying(most=most)
    _, plan = post(server, lines)
    bad = {n for n, kind in enumerate(kinds) if kind == "bad"}
    assert set(plan.refused) == bad
    assert plan.written == set(range(len(lines))) - bad
    assert server.written == {line for line in lines if "good" in line}
    assert sum(lines == ["canary"] for lines in server.posts) == len(bad)


def test_nobody_is_to_blame_while_the_canary_is_refused():
    with pytest.raises(StoreFailed, match="HTTP 400"):
        post(Saying(canary=400), ["good", "bad"])


def test_what_is_too_large_alone_is_to_blame_and_smaller_posts_follow():
    server = Saying(most=3)
    poster, plan = post(server, [f"good {n}" for n in range(16)])
    assert plan.written == set(range(16))
    assert poster.max_lines == 2
    _, plan = post(Saying(most=0), ["good"])
    assert plan.refused == {0: "too large"}


@pytest.mark.parametrize("known_bound", [True, False])
def test_what_is_past_the_retention_is_expired_and_its_neighbours_written(known_bound):
    lines = ["old 1", "good 1", "old 2", "good 2"]
    server = Saying(known_bound=known_bound)
    _, plan = post(server, lines, [0, 2**62, 0, 2**62])
    assert plan.expired == {0, 2}
    assert plan.written == {1, 3}
    assert not plan.refused
    assert len(server.posts) == (2 if known_bound else 7)


def test_one_agent_with_nothing_but_bad_lines_does_not_keep_the_others_waiting():
    lines = [f"bad {n}" for n in range(64)] + ["good"]
    server = Saying()
    _, plan = post(server, lines, owners=["a"] * 64 + ["b"])
    assert plan.written == {64}
    assert len(plan.refused) == REFUSALS_A_TURN
    assert len(plan.put_off) == 64 - REFUSALS_A_TURN
    assert len(server.posts) < 40


def test_a_plan_cuts_posts_to_their_size():
    plan = Halving(["a"] * 5, 2)
    taken = []
    while (lines := plan.take()) is not None:
        taken.append(lines)
        plan.note_written(lines)
    assert taken == [(0, 1), (2, 3), (4,)]


def test_a_suspect_waits_longer_each_time_and_is_cleared_turn_by_turn():
    suspects = Suspects()
    suspects.strike("a", 0.0)
    assert "a" in suspects
    assert not suspects.has_turn("a", 1.9)
    assert suspects.has_turn("a", 2.0)
    for _ in range(10):
        suspects.strike("a", 2.0)
    assert not suspects.has_turn("a", 61.9)
    assert suspects.has_turn("a", 62.0)
    for _ in range(6):
        assert "a" in suspects
        suspects.clear("a", 62.0)
    assert "a" not in suspects


def test_a_thousand_new_series_a_day_from_one_agent_and_no_more():
    guard = SeriesGuard()
    assert all(guard.admits("a", str(n), 0) for n in range(1000))
    assert not guard.admits("a", "one more", 0)
    assert guard.admits("a", "0", 0)
    assert guard.admits("b", "one more", 0)
    assert guard.admits("a", "one more", DAY_NS)


def test_what_the_guard_remembers_is_bounded():
    guard = SeriesGuard()
    for n in range(MAX_KNOWN + 500):
        assert guard.admits("a", str(n), DAY_NS * (n // 900))
    assert len(guard._known["a"]) == MAX_KNOWN

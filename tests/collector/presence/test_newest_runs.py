"""The newest runs of a series, against a plain list of them all."""

from hypothesis import given
from hypothesis import strategies as st

from tinyprof_collector.newest_runs import NewestRuns
from tinyprof_collector.stores.store import RunSeen
from tinyprof_protocol.presence import SPARK_POINTS

RUNS = st.lists(
    st.builds(
        RunSeen,
        st.integers(-5, 60),
        st.sampled_from(["valid", "unstable", "invalid"]),
        st.none() | st.floats(0.0, 1e6),
    ),
    max_size=2 * SPARK_POINTS,
)


def newest_of(runs):
    return sorted(runs, key=lambda run: run.time_ns)[-SPARK_POINTS:]


def streak_of(runs):
    verdicts = [run.verdict for run in runs]
    return next((n for n, verdict in enumerate(reversed(verdicts)) if verdict != "invalid"), len(verdicts))


@given(RUNS)
def test_the_newest_by_time_stay_whatever_order_they_come_in(runs):
    kept, wanted = NewestRuns(runs), newest_of(runs)
    assert len(kept) == len(wanted)
    assert kept.decode_tps() == [run.decode_tps for run in wanted if run.decode_tps is not None]
    assert kept.invalid_streak() == streak_of(wanted)


@given(RUNS, RUNS)
def test_what_was_gathered_apart_comes_to_the_same(some, others):
    merged = NewestRuns(some)
    merged.merge(NewestRuns(others))
    # Of a part only its own newest are known, so that of the whole the newest are among them.
    wanted = newest_of([*newest_of(some), *newest_of(others)])
    assert merged.decode_tps() == [run.decode_tps for run in wanted if run.decode_tps is not None]
    assert merged.invalid_streak() == streak_of(wanted)


def test_the_largest_times_have_their_place():
    runs = NewestRuns([RunSeen(2**63 - 1, "invalid", None), RunSeen(-(2**63), "valid", 5.0)])
    assert (runs.decode_tps(), runs.invalid_streak()) == ([5.0], 1)

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyprof.durations import BadDuration, parse_duration, show_age


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("24h", 86400),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("7d", 604800),
        ("1.5m", 90),
        ("12", 12),
        ("2w", 1209600),
    ],
)
def test_what_people_write(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-3s", "3x", "1h 30", "0s", "nan", "1e9d", "30 parsecs", "900000d"])
def test_anything_else_is_an_error_that_shows_how(text: str) -> None:
    with pytest.raises(BadDuration, match=r"30s|100 years"):
        parse_duration(text)


@given(st.text(max_size=12))
def test_any_text_gives_seconds_or_the_one_error(text: str) -> None:
    with contextlib.suppress(BadDuration):
        assert parse_duration(text) > 0


def test_ages_in_their_largest_fitting_unit() -> None:
    assert [show_age(s) for s in (-1, 12, 180, 7200, 3 * 86400)] == ["0 s", "12 s", "3 min", "2 h", "3 d"]

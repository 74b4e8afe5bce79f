"""Several stores: one answer for a record, and what has no turn is not accounted and comes again."""

import pytest

from tinyprof_collector.intake import _united
from tinyprof_collector.stores.store import Refused

NO = Refused("no")


@pytest.mark.parametrize(
    ("one", "two", "together"),
    [("stored", "stored", "stored"), ("held", "stored", "stored"), ("held", "held", "held"),
     ("expired", "stored", "stored"), ("expired", "expired", "expired"), ("later", "stored", "later"),
     ("held", "later", "later"), ("later", NO, NO), (NO, "later", NO), ("stored", NO, NO)],
)  # fmt: skip
def test_one_answer_for_two_stores(one, two, together):
    assert _united(one, two) == together

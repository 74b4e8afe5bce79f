"""The collector's state in a file of its own: who may open it, and what is said to who may not."""

import pytest

from tinyprof_collector.state.sqlite import SqliteState
from tinyprof_collector.state.state import StateFailed


def test_a_second_collector_is_told_who_holds_the_state_and_what_to_do(tmp_path):
    path = tmp_path / "state.sqlite"
    first = SqliteState(path)
    try:
        with pytest.raises(StateFailed, match=r"another process holds it: stop that collector.*state_dir"):
            SqliteState(path)
    finally:
        first.close()
    SqliteState(path).close()


def test_a_state_that_cannot_be_opened_asks_whether_its_folder_may_be_written(tmp_path):
    path = tmp_path / "state.sqlite"
    path.mkdir()
    with pytest.raises(StateFailed, match="may be written"):
        SqliteState(path)

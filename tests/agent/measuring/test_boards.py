import subprocess
import sys
import time

import msgspec
import pytest

from tinyprof_agent.boards import BadBoard, BoardConfig, driver_kinds, make_driver, measuring_locks, processor_of
from tinyprof_agent.drivers.host import HostDriver

HOST = BoardConfig("here", "host", options={"model": "stories260k-q8_0"})
TOML = """
[[boards]]
name = "here"
driver = "host"
[boards.options]
model = "stories260k-q8_0"
"""


class File(msgspec.Struct):
    boards: list[BoardConfig]


def test_a_table_of_toml_becomes_a_board_with_its_defaults() -> None:
    (board,) = msgspec.toml.decode(TOML, type=File).boards
    assert board == HOST
    assert (board.suite, board.every_s, board.sample_every_s, board.enabled) == ("", 60.0, 30.0, True)


@pytest.mark.parametrize("line", ["colour = 1", "every_s = -1", 'name = "Bad Name"', "options = 3"])
def test_a_bad_table_is_refused_by_its_key(line: str) -> None:
    toml = f'[[boards]]\ndriver = "host"\n{line}\n' + ("" if "name" in line else 'name = "b"\n')
    with pytest.raises(msgspec.ValidationError, match=line.split(maxsplit=1)[0]):
        msgspec.toml.decode(toml, type=File)


def test_a_kind_is_a_folder() -> None:
    assert {"host", "probe"} <= set(driver_kinds())


def test_a_driver_is_made_from_its_options() -> None:
    assert isinstance(make_driver(HOST, time.monotonic_ns), HostDriver)


@pytest.mark.parametrize(
    ("board", "words"),
    [
        (BoardConfig("b1", "hots"), ["'b1'", "'hots'", "host"]),
        (BoardConfig("b1", "host"), ["'b1'", "'host'", "model"]),
        (BoardConfig("b1", "host", options={"model": "m", "modle": "x"}), ["'b1'", "modle"]),
        (BoardConfig("b1", "host", options={"model": "m", "idle_end_s": "soon"}), ["'b1'", "options.idle_end_s"]),
        (BoardConfig("b1", "../host"), ["'b1'", "../host"]),
    ],
)
def test_a_bad_board_is_refused_in_one_line_that_names_it_and_the_key(board: BoardConfig, words: list[str]) -> None:
    with pytest.raises(BadBoard) as caught:
        make_driver(board, time.monotonic_ns)
    assert "\n" not in str(caught.value)
    assert [word for word in words if word not in str(caught.value)] == []


def test_boards_on_one_processor_share_a_lock_and_others_do_not() -> None:
    probe = {"port": "/dev/ttyACM0"}
    locks = measuring_locks(
        [
            HOST,
            BoardConfig("soft", "probe", processor="host", options=probe),
            BoardConfig("mcu-1", "probe", options=probe),
            BoardConfig("mcu-2", "probe", options=probe),
        ]
    )
    assert locks["here"] is locks["soft"]
    assert len({id(lock) for lock in locks.values()}) == 3
    assert processor_of(HOST) == "host"


def test_the_agents_side_of_the_host_driver_loads_no_numpy() -> None:
    code = (
        "import sys, tinyprof_agent.worker, tinyprof_agent.drivers.host as host;"
        "from tinyprof_models.catalogue import shipped_models; shipped_models();"
        "sys.exit(any(name.split('.')[0] in ('numpy', 'textual', 'influxdb_client', 'redis') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

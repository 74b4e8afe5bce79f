"""The lookout as one part: what it tells of which boards."""

import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from tinyprof_collector.config import Config, RegressionsConfig
from tinyprof_collector.control import Clock
from tinyprof_collector.lookout import Lookout, open_watch_file
from tinyprof_collector.regressions.watch import Line
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import Regression

CLOCK = Clock(time.time_ns, time.monotonic)
HERE, THERE = "lab.pi", "lab.nano"
FOUND = Regression(HERE, "b1", "0" * 16, "decode_tps", 100.0, 80.0, -0.2, 1, 2)


@pytest.fixture
def kept(tmp_path: Path):
    file = open_watch_file(tmp_path)
    for node in (HERE, THERE):
        file.keep({(node, "b1", bytes(8)): Line(standing={"decode_tps": replace(FOUND, node=node)})})
    yield file
    file.close()


def nodes(lookout: Lookout) -> list[str]:
    return sorted(one.node for one in lookout.standing())


def test_what_another_collector_has_claimed_is_its_to_tell(kept):
    lookout = Lookout(Config(), kept, [], CLOCK)
    assert nodes(lookout) == [THERE, HERE]
    lookout.leave({partition_of(THERE): "other"})
    assert nodes(lookout) == [HERE]
    lookout.leave({})
    assert nodes(lookout) == [THERE, HERE]
    assert nodes(Lookout(Config(partitions=[partition_of(THERE)]), kept, [], CLOCK)) == [THERE]


def test_where_nothing_is_watched_nothing_is_told(kept):
    lookout = Lookout(Config(regressions=RegressionsConfig(enabled=False)), kept, [], CLOCK)
    assert lookout.standing() == lookout.of((HERE, "b1")) == []
    assert lookout.alive() == lookout.counters() == {}

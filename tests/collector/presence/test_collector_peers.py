from tinyprof_collector.peers import MAX_PEERS, Peers, shown
from tinyprof_protocol.presence import CollectorStatus

S = 10**9
NOW = 1_800_000_000 * S


def status(name="two", partitions=(0, 1, 2), state="online", **more) -> CollectorStatus:
    return CollectorStatus(name, state, partitions=list(partitions), interval_s=10.0, **more)


def test_partitions_that_two_serve_are_found_until_one_says_goodbye():
    peers = Peers()
    peers.hear(status(), NOW, retained=False)
    peers.hear(status("three", [9]), NOW, retained=False)
    assert peers.overlaps([1, 2, 3], NOW, 3.0) == {"two": [1, 2]}
    peers.hear(status(state="offline"), NOW, retained=False)
    assert peers.overlaps([1, 2, 3], NOW, 3.0) == {}


def test_one_that_fell_silent_serves_nothing():
    peers = Peers()
    peers.hear(status(), NOW, retained=False)
    assert peers.overlaps([0], NOW + 30 * S, 3.0) == {"two": [0]}
    assert peers.overlaps([0], NOW + 31 * S, 3.0) == {}
    peers.hear(status(time_ns=NOW - 31 * S), NOW, retained=True)
    assert peers.overlaps([0], NOW, 3.0) == {}


def test_they_are_bounded():
    peers = Peers()
    for number in range(MAX_PEERS + 5):
        peers.hear(status(f"c{number}"), NOW, retained=False)
    assert len(peers.heard) == MAX_PEERS
    assert "c4" not in peers.heard


def test_partitions_are_shown_short():
    assert [shown(each) for each in (range(16), [3], [4, 1], [2, 3])] == ["0-15", "3", "1,4", "2-3"]

"""The influxdb store against answers that a real server will not give on demand."""

import contextlib
import gc
import socket
import weakref

import pytest
from grumpy_server import CUT, GrumpyServer
from producing import arrivals

from tinyprof_collector.config import InfluxConfig
from tinyprof_collector.stores.influx.influxdb import InfluxStore
from tinyprof_collector.stores.influx.server import InfluxServer
from tinyprof_collector.stores.store import Refused, StoreFailed

BAD_LINE = (400, {}, '{"message":"unable to parse"}')


def store_of(server: GrumpyServer, **changed: object) -> InfluxStore:
    return InfluxStore(InfluxConfig(**{"url": server.url, "token": "t", "timeout_s": 5.0, **changed}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "wish_s"),
    [((429, {"Retry-After": "7"}, ""), 7.0), ((503, {"Retry-After": "9000"}, "busy"), 300.0), ((503, {}, ""), None),
     ((500, {}, "<html>oh</html>"), None), ((302, {"Location": "/"}, ""), None), (CUT, None)],
)  # fmt: skip
def test_what_is_not_about_lines_holds_all_until_it_goes_well(answer, wish_s):
    with GrumpyServer(answer) as server:
        store = store_of(server)
        with pytest.raises(StoreFailed) as raised:
            store.write(arrivals([1, 2]))
        assert raised.value.retry_after_s == wish_s
        assert store.check() == str(raised.value)
        assert store.write(arrivals([1, 2])) == ["stored"] * 2
        assert store.check() is None
        store.close()


def test_a_refusal_in_the_middle_of_a_list_blames_one_line_and_writes_the_others():
    """The first post goes well; of the second, halved twice, one line is refused alone and the canary is taken."""
    ok = (204, {}, "")
    with GrumpyServer(ok, BAD_LINE, ok, BAD_LINE, BAD_LINE, ok, ok) as server:
        store = store_of(server, max_lines=4)
        answers = store.write(arrivals(range(1, 9)))
        assert [type(answer) is Refused for answer in answers] == [False] * 6 + [True, False]
        assert answers[:6] + answers[7:] == ["stored"] * 7
        assert [len(lines) for lines in server.posts] == [4, 4, 2, 2, 1, 1, 1]
        assert server.posts[5][0].startswith("tinyprof_canary,")
        assert answers[6].reason.endswith("unable to parse")
        store.close()


def test_no_line_is_to_blame_where_the_canary_is_refused_too():
    with GrumpyServer(BAD_LINE, BAD_LINE) as server:
        store = store_of(server)
        with pytest.raises(StoreFailed, match="HTTP 400"):
            store.write(arrivals([1]))
        assert store.write(arrivals([1])) == ["stored"]
        store.close()


def test_a_post_that_is_too_large_is_halved_until_it_fits():
    large = (413, {}, "")
    with GrumpyServer(large, large) as server:
        store = store_of(server)
        assert store.write(arrivals(range(1, 9))) == ["stored"] * 8
        assert [len(lines) for lines in server.posts] == [8, 4, 2, 2, 4]
        store.write(arrivals(range(11, 15)))
        assert [len(lines) for lines in server.posts[5:]] == [2, 2]
        store.close()


def test_many_lines_go_in_posts_of_their_agents_side_by_side():
    nodes = [f"lab.agent-{n}" for n in range(4)]
    sent = [one for first in (1, 126) for node in nodes for one in arrivals(range(first, first + 125), node=node)]
    with GrumpyServer() as server:
        store = store_of(server, posts_at_once=2)
        assert store.write(sent) == ["stored"] * 1000
        assert len(server.posts) == 2
        agents = [{line.split(",")[1] for line in lines} for lines in server.posts]
        assert agents[0].isdisjoint(agents[1])
        assert len(agents[0] | agents[1]) == 4
        assert [len(lines) for lines in server.posts] == [500, 500], "the longer one is what a list waits for"
        store.close()


def test_an_agent_that_invents_series_is_stopped_at_a_thousand():
    from msgspec.structs import replace
    from producing import result_of

    def named(seq: int):
        return arrivals([seq], body=replace(result_of(seq), board=f"b{seq}"))

    with GrumpyServer() as server:
        store = store_of(server)
        answers = store.write([one for seq in range(1, 1003) for one in named(seq)])
        assert answers[:1000] == ["stored"] * 1000
        assert all(isinstance(answer, Refused) and "new series" in answer.reason for answer in answers[1000:])
        assert store.write(named(1)) == ["stored"]
        store.close()


class Lines(list[bytes]):
    """A list that may be watched."""


@pytest.mark.parametrize("how", ["cut", "silent", "refused"])
def test_a_post_that_failed_leaves_nothing_of_its_lines_in_memory(how):
    with GrumpyServer(CUT) as cutting, socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if how == "refused":
            silent.close()
        url = cutting.url if how == "cut" else f"http://127.0.0.1:{port}"
        server = InfluxServer(InfluxConfig(url=url, token="t", timeout_s=0.2))
        lines = Lines([b"a line"])
        gone = weakref.ref(lines)
        gc.disable()  # it would find them in the end, after hours with the database away
        try:
            assert server.write(lines).status == 0
            del lines
            assert gone() is None
        finally:
            gc.enable()
        server.close()


def test_a_list_that_failed_in_both_its_posts_leaves_nothing_in_memory():
    class Listed(list):
        """A list that may be watched."""

    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    store = InfluxStore(InfluxConfig(url=url, token="t", posts_at_once=2))
    sent = Listed(one for node in ("lab.one", "lab.two") for one in arrivals(range(1, 501), node=node))
    gone = weakref.ref(sent)
    gc.disable()
    try:
        with contextlib.suppress(StoreFailed):
            store.write(sent)
        del sent
        assert gone() is None
    finally:
        gc.enable()
    store.close()


def test_no_answer_in_time_is_a_hold():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = InfluxStore(InfluxConfig(url=url, token="secret-token", timeout_s=0.2))
        with pytest.raises(StoreFailed, match="no answer") as raised:
            store.write(arrivals([1]))
        assert "secret-token" not in str(raised.value)
        assert "0x" not in str(raised.value)
        store.close()

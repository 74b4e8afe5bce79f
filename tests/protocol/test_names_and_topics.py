import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyprof_protocol import topics
from tinyprof_protocol.broker_address import BadAddress, parse_broker
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.names import BadName, is_node, node_name, partition_of, split_node

names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)


@given(names, names)
def test_a_node_is_put_together_and_taken_apart(site, agent):
    node = node_name(site, agent)
    assert is_node(node)
    assert split_node(node) == (site, agent)
    assert partition_of(node) == zlib.crc32(node.encode()) % 16


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a.b", "a/b", "a\n", "é", "a" * 64, "+", "#"])
def test_what_is_no_name_is_refused_with_the_rule(name):
    with pytest.raises(BadName, match="1 to 63 of a-z"):
        node_name(name, "agent")
    with pytest.raises(BadName):
        split_node(f"{name}.a.b")


@given(names, names, names, st.sampled_from(topics.AGENT_TOPICS))
def test_topics_are_taken_apart_as_they_were_built(site, agent, board, kind):
    node = node_name(site, agent)
    assert topics.parse(topics.agent_topic(node, kind)) == topics.Topic(kind, node=node)
    assert topics.parse(topics.fleet(node, board)) == topics.Topic("fleet", node=node, board=board)
    assert topics.parse(topics.collector_status(board)) == topics.Topic("collector", collector=board)
    assert topics.parse(topics.requests(board, "history")) == topics.Topic(
        "request", collector=board, request="history"
    )


@given(names, names, st.integers(0, 99))
def test_a_node_under_the_wrong_partition_is_refused(site, agent, level):
    node = node_name(site, agent)
    topic = f"tinyprof/1/{level:02d}/{node}/records"
    if level == partition_of(node):
        assert topics.parse(topic).node == node
    else:
        with pytest.raises(topics.BadTopic, match="lies in partition"):
            topics.parse(topic)


@pytest.mark.parametrize(
    "topic",
    ["", "x", "tinyprof/2/00/a.b/records", "tinyprof/1/00/a.b/other", "tinyprof/1/collector/a.b/status",
     "tinyprof/1/replies/xyz",      "tinyprof/1/fleet/ab/c", "tinyprof/1/00/a.b/records/more"],
)  # fmt: skip
def test_what_is_none_of_our_topics_is_refused(topic):
    with pytest.raises(topics.BadTopic):
        topics.parse(topic)


def test_replies_go_to_a_clients_own_topic_only():
    client = "0123456789abcdef" * 2
    assert topics.is_reply_topic(topics.replies(client))
    assert topics.parse(topics.replies(client)).client == client
    for wrong in ("tinyprof/1/00/a.b/sack", topics.replies(client) + "/x", topics.replies(client).upper(), "#"):
        assert not topics.is_reply_topic(wrong)
    with pytest.raises(topics.BadTopic):
        topics.replies("../x")


def test_broker_addresses():
    address = parse_broker("mqtts://lab.agent:s%40cret@broker.example:8884")
    assert (address.host, address.port, address.tls) == ("broker.example", 8884, True)
    assert (address.username, address.password) == ("lab.agent", "s@cret")
    assert "cret" not in repr(address) + str(address)
    assert parse_broker("localhost").port == 1883
    assert parse_broker("localhost:1884").port == 1884
    for wrong in ("http://x", "mqtt://", "mqtt://x:99999", "mqtt://x/topic", "mqtt://x:0"):
        with pytest.raises(BadAddress, match="mqtt://HOST:PORT"):
            parse_broker(wrong)
    with pytest.raises(BadAddress) as why:
        parse_broker("http://user:secret@host")
    assert "secret" not in str(why.value)


def test_metrics_are_complete():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.definition
        assert metric.source
        assert metric.unit
        assert not name.endswith("tokens_per_second")

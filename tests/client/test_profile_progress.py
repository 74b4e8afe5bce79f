"""What a client hears of the run that it waits for."""

import queue
import threading

from tinyprof.embedded_broker import EmbeddedBroker
from tinyprof.job_handle import FleetJob
from tinyprof.profile_request import follow_to_the_end
from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.codec import encode
from tinyprof_protocol.connection import Connection, Hooks, Publication
from tinyprof_protocol.jobs import Job, ProfileReply, ProfileRequest, Progress
from tinyprof_protocol.topics import agent_topic

PATIENCE_S = 20
NODE, ID = "lab.pi", bytes(16)


def test_a_message_that_is_no_progress_is_passed_over_in_silence(caplog):
    heard: queue.Queue[Progress] = queue.Queue()
    up, stop = threading.Event(), threading.Event()
    job = FleetJob(ProfileRequest(Job(ID, NODE, "b1", 0)), lambda _: None)
    topic = agent_topic(NODE, "progress")
    with EmbeddedBroker() as broker:
        address = parse_broker(broker.url)
        client = threading.Thread(target=follow_to_the_end, args=(job, address, None, heard.put))
        client.start()
        agent = Connection(address, NODE, Hooks(on_connected=up.set))
        agent.start()
        assert up.wait(PATIENCE_S)
        while heard.empty() and not stop.wait(0.02):  # until its subscription stands
            agent.publish(Publication(topic, b"", qos=1))
            agent.publish(Publication(topic, encode(Progress(NODE, "b1", "timed", ID)), qos=1))
        assert heard.get(timeout=PATIENCE_S).stage == "timed"
        job.note(ProfileReply(ID, "cancelled", final=True))
        client.join(PATIENCE_S)
        agent.stop(timeout_s=0.5)
    assert not client.is_alive()
    assert not [line for line in caplog.messages if "callback" in line]

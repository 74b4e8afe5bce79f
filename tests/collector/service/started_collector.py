"""A collector of a test's own, started as far as its agents need it."""

import fake_agent

from tinyprof_collector.config import Config
from tinyprof_collector.control import Clock
from tinyprof_collector.service import SYSTEM_CLOCK, Collector
from tinyprof_protocol import topics
from tinyprof_protocol.presence import CollectorStatus


def started(config: Config, clock: Clock = SYSTEM_CLOCK) -> Collector:
    """A collector that has subscribed: it says that it is online only after that."""
    running = Collector(config, clock)
    running.start()
    waiting = fake_agent.Client(config.broker, "waiting", [topics.collector_status()])
    waiting.next(CollectorStatus, lambda found: found.state == "online")
    waiting.stop()
    return running

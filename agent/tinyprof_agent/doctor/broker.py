"""Whether the broker is there and lets the agent do what it needs to, as the agent itself but for an instant."""

import socket
import threading
from typing import Final

from tinyprof_agent.doctor.findings import Finding
from tinyprof_protocol.broker_address import CA_FILE_VARIABLE, BrokerAddress
from tinyprof_protocol.codec import BadMessage, decode
from tinyprof_protocol.connection import Connection, Hooks, Message, Publication, Published
from tinyprof_protocol.presence import CollectorStatus
from tinyprof_protocol.topics import agent_topic, collector_status

WITHIN_S: Final = 8.0
COLLECTOR_WITHIN_S: Final = 2.0
_ADVICE: Final = "start it, or set broker, its user and password"


def check_reachable(address: BrokerAddress) -> Finding:
    """Whether somebody listens at the broker's address; all that is asked while an agent runs, which has its name."""
    try:
        socket.create_connection((address.host, address.port), timeout=WITHIN_S).close()
    except OSError as why:
        return Finding("broker", "failed", f"nobody listens at {address}: {why.strerror or why}; {_ADVICE}")
    return Finding("broker", "ok", f"somebody listens at {address}; the agent that runs says itself how it gets on")


def check_broker(address: BrokerAddress, node: str) -> list[Finding]:
    """Connects as the agent, subscribes as it does and publishes nothing that means anything. Only while none runs."""
    asked = _Asked(address, node)
    try:
        return asked.findings()
    finally:
        asked.connection.stop(timeout_s=1.0)


class _Asked:
    def __init__(self, address: BrokerAddress, node: str) -> None:
        self._address = address
        self._node = node
        self._connected = threading.Event()
        self._answered = threading.Event()
        self._collector = threading.Event()
        self._outcome: Published | None = None
        self._heard: set[str] = set()
        subscriptions = [(agent_topic(node, "sack"), 1), (agent_topic(node, "jobs"), 1), (collector_status(), 1)]
        hooks = Hooks(self._on_message, self._connected.set, lambda _: None, self._on_published)
        self.connection = Connection(address, node, hooks, subscriptions=subscriptions)

    def findings(self) -> list[Finding]:
        self.connection.start()
        state = self.connection.state
        for _ in range(round(WITHIN_S / 0.05)):
            if self._connected.wait(0.05) or (state.attempts > 0 and state.next_attempt_s > 0):
                break
        if not self._connected.is_set():
            advice = f"set {CA_FILE_VARIABLE}" if "CERTIFICATE_VERIFY_FAILED" in state.error else _ADVICE
            return [Finding("broker", "failed", f"{state.error or f'{self._address} does not answer'}; {advice}")]
        found = [Finding("broker", "ok", f"{self._address} takes us as {self._node}")]
        refused = state.counts.get("subscriptions_refused", 0)
        if refused:
            line = f"the broker refuses {refused} of 3 subscriptions to {self._node}: its access list must let it read"
            found.append(Finding("subscriptions", "failed", line))
        else:
            found.append(Finding("subscriptions", "ok", "acknowledgements, jobs and collectors may be read"))
        return [*found, self._publishing(), self._collectors()]

    def _publishing(self) -> Finding:
        """An empty message where progress is shown, which nobody takes for anything: its acknowledgement counts."""
        token = self.connection.publish(Publication(agent_topic(self._node, "progress"), b"", qos=1, expiry_s=1))
        if token is None or not self._answered.wait(WITHIN_S) or self._outcome is None:
            return Finding("publishing", "failed", "the broker does not acknowledge what is published; look at its log")
        if self._outcome.outcome != "acknowledged":
            why = self._outcome.reason or self._outcome.outcome
            line = f"the broker refuses what {self._node} publishes ({why}): its access list must let it write"
            return Finding("publishing", "failed", line)
        return Finding("publishing", "ok", f"{self._node} may publish under its own name")

    def _collectors(self) -> Finding:
        if self._collector.wait(COLLECTOR_WITHIN_S):
            return Finding("collector", "ok", f"live: {', '.join(sorted(self._heard))}")
        line = "no live collector: records wait in the spool; start one with 'tinyprof collector run'"
        return Finding("collector", "warning", line)

    def _on_published(self, published: Published) -> None:
        self._outcome = published
        self._answered.set()

    def _on_message(self, message: Message) -> None:
        if not message.topic.startswith(collector_status().split("+")[0]):
            return
        try:
            status = decode(message.payload, CollectorStatus)
        except BadMessage:
            return
        if status.state == "online":
            self._heard.add(status.id)
            self._collector.set()

"""A broker for these tests, a collector of which a test says what it answers, and results with the times it says."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self

import pytest

from tinyprof.embedded_broker import EmbeddedBroker
from tinyprof_protocol import topics
from tinyprof_protocol.broker_address import BrokerAddress, parse_broker
from tinyprof_protocol.codec import decode, encode
from tinyprof_protocol.connection import Connection, Hooks, Message, Publication, Published
from tinyprof_protocol.jobs import JobsRequest, ProfileRequest
from tinyprof_protocol.presence import CollectorStatus
from tinyprof_protocol.records import Build, ClockReport, Conditions, Figure, Repetition, Result
from tinyprof_protocol.requests import (
    BoardsRequest,
    CacheRequest,
    ForgetRequest,
    HistoryRequest,
    LedgerRequest,
    QuarantineRequest,
    ResultsRequest,
    StatusRequest,
)

KINDS = {
    "boards": BoardsRequest,
    "cache": CacheRequest,
    "forget": ForgetRequest,
    "history": HistoryRequest,
    "jobs": JobsRequest,
    "ledger": LedgerRequest,
    "profile": ProfileRequest,
    "quarantine": QuarantineRequest,
    "results": ResultsRequest,
    "status": StatusRequest,
}


@dataclass
class FakeCollector:
    """Speaks the collector's side of the protocol; `answers[kind](request)` gives the replies to a request."""

    address: BrokerAddress
    name: str = "main"
    partitions: list[int] = field(default_factory=lambda: list(range(16)))
    answers: dict[str, Callable[[object], list[object]]] = field(default_factory=dict)
    requests: list[tuple[str, object]] = field(default_factory=list)
    started_ns: int = 0

    def __post_init__(self) -> None:
        self.up = threading.Event()
        self.connection = Connection(
            self.address,
            self.name,
            Hooks(on_message=self._on_message, on_connected=self._on_connected, on_published=self._on_published),
            subscriptions=[(topics.requests(self.name), 1)],
        )

    def __enter__(self) -> Self:
        self.connection.start()
        assert self.up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.stop([self.status("offline")])

    def status(self, state: str) -> Publication:
        status = CollectorStatus(self.name, state, started_ns=self.started_ns, partitions=self.partitions)
        return Publication(topics.collector_status(self.name), encode(status), retain=True)

    def _on_connected(self) -> None:
        self.connection.publish(self.status("online"))

    def _on_published(self, what: Published) -> None:
        """The broker has its status, so that whoever connects after this is told of it at once."""
        if what.outcome == "acknowledged":
            self.up.set()

    def _on_message(self, message: Message) -> None:
        kind = topics.parse(message.topic).request
        request = decode(message.payload, KINDS[kind])
        self.requests.append((kind, request))
        for reply in self.answers.get(kind, lambda _: [])(request):
            self.connection.publish(Publication(message.response_topic, encode(reply), correlation=message.correlation))


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedBroker]:
    """One broker for all; each test uses collectors' names of its own where it matters."""
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def address(broker: EmbeddedBroker) -> BrokerAddress:
    return parse_broker(broker.url)


@pytest.fixture
def collector(address: BrokerAddress) -> Iterator[Callable[..., FakeCollector]]:
    """Starts collectors that answer as told; all end with the test."""
    with ExitStack() as stack:

        def start(answers: dict[str, Any] | None = None, **more: Any) -> FakeCollector:
            return stack.enter_context(FakeCollector(address, answers=answers or {}, **more))

        yield start


BUILD = Build(
    platform="host", engine="numpy-reference", engine_build="1.0", model="stories260k-q4_0", model_sha256="a" * 64,
    quantisation="Q4_0", kv_cache="f32", activations="float32", ctx=256, timing="device",
)  # fmt: skip


def make_result(
    ttft_ms: Sequence[float] = (),
    tpot_ms: Sequence[float] = (),
    *,
    build: Build = BUILD,
    figures: dict[str, Figure] | None = None,
    tokens: tuple[int, int] = (5, 24),
    **more: object,
) -> Result:
    """A run of one prompt whose repetitions took these times."""
    repetitions = [
        Repetition(0, ttft, tpot, *tokens) for ttft, tpot in zip(ttft_ms, tpot_ms or [2.0] * len(ttft_ms), strict=True)
    ]
    given = {
        "run_id": bytes(16), "board": "b", "build": build, "suite": "quick", "prompts": ["One day"], "max_tokens": 24,
        "verdict": "valid", "reasons": [], "golden": "match", "clock": ClockReport("host"), "figures": figures or {},
        "repetitions": repetitions, "conditions": Conditions(), "timed_s": 2.0,
    }  # fmt: skip
    return Result(**(given | more))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def result() -> Callable[..., Result]:
    return make_result


@pytest.fixture(scope="session")
def noisy() -> Callable[..., list[float]]:
    """Times around a middle, no two alike, within 2 %; always the same for the same arguments."""

    def make(middle: float, n: int = 12, seed: int = 1) -> list[float]:
        chance = random.Random(seed)
        return [middle * (1 + chance.uniform(-0.02, 0.02)) for _ in range(n)]

    return make

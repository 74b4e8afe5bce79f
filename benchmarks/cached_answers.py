"""How quickly a collector answers from its cache: in process, and over the embedded broker, alone and beside others.

`python benchmarks/cached_answers.py [--answers 3000] [--at-once 32] [--rounds 3] [--json]`. A collector in a process of
its own holds one run, as large as one of the `quick` suite is. In process: the look into the cache and the bytes of the
reply. Over the broker: one request after the other (targets: p50 at most 5 ms, p99 at most 20 ms), then with `at-once`
under way (at least 1,000 answers/s), then one after the other again beside a client that asks for histories without a
pause. The median of the rounds is printed, and each round; the client and the broker take their share of this machine.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

from figures_table import table
from msgspec import structs

from agent import cpu_s
from tinyprof.embedded_broker import EmbeddedBroker
from tinyprof_collector.cache.cache import Cache
from tinyprof_collector.config import CacheConfig
from tinyprof_collector.jobs import ReplyTo
from tinyprof_collector.presence import Presence
from tinyprof_collector.replies import publication
from tinyprof_collector.stores.store import Arrival
from tinyprof_platforms.suites import offered, shipped_suites, suite_terms
from tinyprof_protocol import topics
from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.codec import decode, encode, pack
from tinyprof_protocol.connection import Connection, Hooks, Message, Publication
from tinyprof_protocol.delivery import Batch, Entry
from tinyprof_protocol.fingerprints import build_fingerprint, clock_mode
from tinyprof_protocol.jobs import Job, ProfileReply, ProfileRequest
from tinyprof_protocol.presence import AgentStatus, BoardPresence
from tinyprof_protocol.records import Build, ClockReport, Conditions, Figure, Record, Repetition, Result
from tinyprof_protocol.requests import HistoryRequest

MAX_P50_MS, MAX_P99_MS, MIN_PER_S = 5.0, 20.0, 1000.0
PATIENCE_S = 60.0
NODE, BOARD, CLIENT = "bench.agent", "one", "ab" * 16
EPOCH = bytes(range(16))
HISTORY = 800
"""Runs in the store, for the client that asks for histories."""
_SUITE = shipped_suites()["quick"]
_BUILD = Build("host", "reference", "1", "stories260k", "0" * 64, "q8_0", "f32", "f32", 512, "device")


def run_of(seq: int, time_ns: int) -> Record:
    """A run of the suite on a board that makes 24 tokens in 40 ms: 50 repetitions, 1,150 gaps."""
    noise = random.Random(seq)
    result = Result(
        run_id=seq.to_bytes(16), board=BOARD, build=_BUILD, suite="quick", prompts=list(_SUITE.prompts),
        max_tokens=_SUITE.max_tokens, verdict="valid", reasons=[], golden="match",
        clock=ClockReport("host", tick_hz=10**9),
        figures={name: Figure(10.0 + seq % 7, 9.5, 10.5, 0.969, 50) for name in ("ttft_ms", "tpot_ms", "decode_tps")},
        repetitions=[
            Repetition(0, noise.gauss(3.0, 0.05), noise.gauss(1.6, 0.02), 3, 24, "match", 24) for _ in range(50)
        ],
        conditions=Conditions(temperature_c=51.5, load_1m=0.5), timed_s=2.0,
        itl_us=[round(noise.gauss(1600, 40)) for _ in range(1150)], output="a girl named Lily. " * 4,
        suite_terms=suite_terms(_SUITE), min_repetitions=_SUITE.min_repetitions,
    )  # fmt: skip
    return Record(time_ns + seq * 1000, "clock", bytes(16), seq, result)


def status() -> AgentStatus:
    """An agent whose board runs what the run ran on."""
    board = BoardPresence(
        BOARD, "host", "idle", _BUILD.platform, _BUILD.model, build=build_fingerprint(_BUILD),
        clock_mode=clock_mode(10**9, None),
    )  # fmt: skip
    return AgentStatus(
        NODE, "online", time_ns=time.time_ns(), interval_s=3600.0, boards=[board], suites=[offered("quick", _SUITE)]
    )


def request(number: int) -> ProfileRequest:
    """A request of a new job."""
    return ProfileRequest(Job(number.to_bytes(16), NODE, BOARD, time.time_ns() + 60 * 10**9))


def in_process(answers: int) -> dict[str, float]:
    """The collector's own work for an answer: read the request, look, write the reply."""
    now_ns = time.time_ns()
    presence = Presence()
    presence.hear(status(), now_ns)
    cache = Cache(CacheConfig(), 3.0)
    record = run_of(1, now_ns)
    cache.take([Arrival(NODE, EPOCH, 1, pack(record), record)], presence.agents, now_ns)
    asked = [encode(request(number)) for number in range(answers)]
    to = ReplyTo(topics.replies(CLIENT), b"c" * 16)
    taken_us = []
    for payload in asked:
        started = time.perf_counter()
        reply = cache.answer(decode(payload, ProfileRequest), presence.agents, time.time_ns())
        sent = publication(to, reply)
        taken_us.append((time.perf_counter() - started) * 1e6)
        assert reply is not None
    return {
        "record_bytes": len(pack(record)), "reply_bytes": len(sent.payload), "median_us": round(median(taken_us), 1),
        "answers_per_s": round(1e6 / (sum(taken_us) / answers)),
    }  # fmt: skip


class Client:
    """Requests under way, and when each was sent and answered."""

    def __init__(self, url: str, client: str = CLIENT) -> None:
        self._topic = topics.replies(client)
        self._up = threading.Event()
        self._changed = threading.Condition()
        self._sent: dict[bytes, float] = {}
        self.taken_ms: list[float] = []
        self.failures: list[str] = []
        self.connection = Connection(
            parse_broker(url), client, Hooks(self._hear, self._up.set), subscriptions=[(self._topic, 1)]
        )
        self.connection.start()
        assert self._up.wait(PATIENCE_S), "the broker did not let the benchmark in"

    def send(self, kind: str, correlation: bytes, body: bytes) -> None:
        with self._changed:
            self._sent[correlation] = time.perf_counter()
        topic = topics.requests("main", kind)
        sent = Publication(topic, body, expiry_s=60, response_topic=self._topic, correlation=correlation)
        assert self.connection.publish(sent) is not None

    def _hear(self, message: Message) -> None:
        now = time.perf_counter()
        with self._changed:
            began = self._sent.pop(message.correlation or b"", None)
            if began is not None:
                self.taken_ms.append((now - began) * 1e3)
                self._changed.notify_all()
        if message.correlation and message.correlation.startswith(b"profile"):
            reply = decode(message.payload, ProfileReply)
            if reply.cached is None:
                self.failures.append(f"{reply.state}: {reply.message}")

    def wait_until(self, at_most: int) -> None:
        """Until no more than so many are under way."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._sent) <= at_most, PATIENCE_S), "no answer came"

    def ask(self, answers: int, at_once: int, first: int) -> tuple[list[float], float]:
        """Milliseconds of each answer, and the answers in a second, with `at_once` under way."""
        bodies = [encode(request(first + number)) for number in range(answers)]
        self.taken_ms.clear()
        started = time.perf_counter()
        for number, body in enumerate(bodies):
            self.send("profile", b"profile%d" % (first + number), body)
            self.wait_until(at_once - 1)
        self.wait_until(0)
        return list(self.taken_ms), answers / (time.perf_counter() - started)


def summary(taken_ms: list[float], per_s: float) -> dict[str, float]:
    """What stands for a round."""
    return {
        "p50_ms": round(median(taken_ms), 2), "p99_ms": round(quantiles(taken_ms, n=100)[98], 2),
        "max_ms": round(max(taken_ms), 2), "answers_per_s": round(per_s),
    }  # fmt: skip


def wait(what: str, true: Callable[[], bool]) -> None:
    """Waits until it is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {PATIENCE_S:.0f} s in vain: {what}")
        time.sleep(0.02)


def fill(url: str) -> Connection:
    """An agent that says what its board runs and sends its runs, the last of them just now."""
    came = threading.Event()
    heard: list[Message] = []
    agent = Connection(
        parse_broker(url), NODE, Hooks(heard.append, came.set), subscriptions=[(topics.agent_topic(NODE, "sack"), 1)]
    )
    agent.start()
    assert came.wait(PATIENCE_S)
    said = structs.replace(status(), epochs=[])
    agent.publish(Publication(topics.agent_topic(NODE, "status"), encode(said), retain=True))
    now_ns = time.time_ns() - 10**6 * (HISTORY + 1)
    for at in range(1, HISTORY + 1, 8):
        seen = len(heard)
        entries = [Entry(seq, pack(run_of(seq, now_ns))) for seq in range(at, at + 8)]
        agent.publish(Publication(topics.agent_topic(NODE, "records"), encode(Batch(NODE, EPOCH, at, [], entries))))
        wait("the collector acknowledges", lambda seen=seen: len(heard) > seen)  # type: ignore[misc]
    return agent


def over_broker(answers: int, at_once: int, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Rounds of each kind against a collector in a process of its own."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker() as broker:
        config = Path(folder) / "collector.toml"
        config.write_text(f'broker = "{broker.url}"\nstate_dir = "{folder}/state"\n')
        log = Path(folder) / "log"
        with log.open("wb") as into:
            collector = subprocess.Popen(
                [sys.executable, "-m", "tinyprof_collector", "--config", str(config)], stdout=into, stderr=into
            )
        try:
            wait("the collector is ready", lambda: b"is ready" in log.read_bytes())
            agent, client, busy = fill(broker.url), Client(broker.url), Client(broker.url, "cd" * 16)
            found: dict[str, list[dict[str, float]]] = {"one_at_a_time": [], "many_at_once": [], "beside_histories": []}
            client.ask(100, 1, 0)
            for number in range(rounds):
                first = (number + 1) * 10**7
                found["one_at_a_time"].append(summary(*client.ask(answers, 1, first)))
                before_s = cpu_s(collector.pid)
                many = summary(*client.ask(answers, at_once, first + 10**6))
                took_ms = round((cpu_s(collector.pid) - before_s) / answers * 1e3, 3)
                found["many_at_once"].append({**many, "collector_cpu_ms_an_answer": took_ms})
                found["beside_histories"].append(beside_histories(client, busy, answers, first + 2 * 10**6))
            if client.failures:
                raise SystemExit(f"{len(client.failures)} answers were not from the cache: {client.failures[0]}")
            for each in (agent, client.connection, busy.connection):
                each.stop()
            return found
        finally:
            collector.terminate()
            collector.wait(30)


def beside_histories(client: Client, busy: Client, answers: int, first: int) -> dict[str, float]:
    """One after the other, while another client asks for histories without a pause."""
    done = threading.Event()
    body = encode(HistoryRequest(NODE, BOARD, "decode_tps", limit=HISTORY))
    asked = 0

    def go_on() -> None:
        nonlocal asked
        while not done.is_set():
            asked += 1
            busy.send("history", b"history%d" % (first + asked), body)
            busy.wait_until(0)

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    found = summary(*client.ask(answers, 1, first))
    done.set()
    thread.join(PATIENCE_S)
    return {**found, "histories": asked}


def middle(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure over the rounds."""
    return {name: median(each[name] for each in rounds) for name in rounds[0]}


def main() -> int:
    """Prints the figures; 1 if one misses its target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--answers", type=int, default=3000, help="answers in a round [3000]")
    parser.add_argument("--at-once", type=int, default=32, help="requests under way in the second kind of round [32]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    rounds = over_broker(options.answers, options.at_once, options.rounds)
    found = {"in_process": in_process(options.answers), **{kind: middle(each) for kind, each in rounds.items()}}
    met = {
        "p50": found["one_at_a_time"]["p50_ms"] <= MAX_P50_MS,
        "p99": found["one_at_a_time"]["p99_ms"] <= MAX_P99_MS,
        "answers_per_s": found["many_at_once"]["answers_per_s"] >= MIN_PER_S,
    }
    if options.json:
        print(json.dumps({**found, "rounds": rounds, "met": met}))
    else:
        print(table(found))
        print("\n".join(f"round {n + 1}: {kind}: {one}" for kind, each in rounds.items() for n, one in enumerate(each)))
        missed = [name for name, reached in met.items() if not reached]
        print(f"targets: p50 {MAX_P50_MS:g} ms, p99 {MAX_P99_MS:g} ms one at a time, {MIN_PER_S:g} answers/s: "
              f"{'MISSED ' + ', '.join(missed) if missed else 'met'}")  # fmt: skip
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Many agents in one process, as the collector sees them: each with a spool in memory and the real agents' window.

    python benchmarks/influx_fleet.py URL AGENTS RATE    RATE records/s of them all together, until the end of stdin

What is committed is kept until a sack accounts for it: the figures at the end of a command say what each agent still
keeps. Commands on standard input, each answered with a line of JSON: `rate N`, `backlog N` (commits N records at once),
`live` (begins the latencies of what is of now), `count` (what is committed and acknowledged), `told` (with what is
kept, and the latencies since the last `told`).
"""

import json
import os
import random
import sys
import threading
import time
from typing import Any

from influx_load import entries_of, result_record

from tinyprof_agent.spool.rows import EpochView
from tinyprof_agent.uplink.window import Want, Window
from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.codec import decode, encode
from tinyprof_protocol.connection import Connection, Hooks, Message, Publication, Published
from tinyprof_protocol.delivery import MAX_BATCH_BYTES, Batch, Entry, Sack
from tinyprof_protocol.names import NodeName
from tinyprof_protocol.ranges import RangeSet
from tinyprof_protocol.topics import agent_topic, agent_topics_of

TURN_S = 0.02
MAX_RECORDS = MAX_BATCH_BYTES // 660
"""As many of these records as fit into a batch."""


class Agent:
    """One agent: its records, what was acknowledged, and its window."""

    def __init__(self, node: NodeName, rng: random.Random) -> None:
        self.node = node
        self.epoch = os.urandom(16)
        self.topic = agent_topic(node, "records")
        self.records: dict[int, Entry] = {}
        """What is kept, by seq: a record goes once it is acknowledged."""
        self.made_s: dict[int, float] = {}
        self.settled = RangeSet()
        self.head = 0
        self.window = Window(rng)
        self.stirred = False
        self._began_ns = time.time_ns() // 1000 * 1000

    def commit(self, count: int, now_s: float) -> None:
        """Makes and keeps records of the present time."""
        seqs = range(self.head + 1, self.head + count + 1)
        if count == 1:
            seq = self.head + 1
            time_ns = max(time.time_ns() // 1000 * 1000, self._began_ns + seq * 1000)
            self.records[seq] = Entry(seq, result_record(seq, time_ns, f"board-{seq % 10}"))
        else:
            self.records.update((entry.seq, entry) for entry in entries_of(seqs, self._began_ns))
        self.made_s.update(dict.fromkeys(seqs, now_s))
        self.head += count
        self.stirred = True

    def settle(self, sack: Sack, now_s: float) -> list[tuple[int, float]]:
        """Lets go of what a sack accounts for; returns the seqs and how long each was kept, in seconds."""
        pairs = [pair for pair in ((1, sack.cum), *sack.ranges) if pair[0] <= pair[1]]
        gone = []
        for first, last in pairs:
            for low, high in self.settled.absent(first, last):
                gone += [(seq, now_s - self.made_s.pop(seq)) for seq in range(low, high + 1) if self.records.pop(seq)]
        self.settled.update(pairs)
        self.window.settled(self.epoch, pairs, now_s)
        self.stirred = True
        return gone

    def refresh(self) -> None:
        """Tells the window what is owed."""
        base = self.settled.cum + 1
        self.window.refresh([EpochView(self.epoch, base, self.head, self.head)] if base <= self.head else [])
        self.stirred = False

    def cut(self, want: Want) -> tuple[int, int, list[Entry]]:
        """The span that a batch speaks for, and its records."""
        owed = self.settled.absent(want.first, want.last)
        most = min(MAX_RECORDS, want.max_records)
        seqs: list[int] = []
        for low, high in reversed(owed) if want.newest else owed:
            room = most - len(seqs)
            seqs += (
                range(max(low, high - room + 1), high + 1) if want.newest else range(low, min(high, low + room - 1) + 1)
            )
            if len(seqs) >= most:
                break
        if not seqs:
            return want.first, want.last, []
        span = (min(seqs), want.last) if want.newest else (want.first, max(seqs))
        return *span, [self.records[seq] for seq in sorted(seqs)]


class Fleet:
    """All agents on one connection."""

    def __init__(self, url: str, agents: int, rate: float) -> None:
        rng = random.Random(7)
        self.agents = {f"lab.fleet-{n}": Agent(f"lab.fleet-{n}", rng) for n in range(agents)}
        self._turn = list(self.agents.values())
        self.rate = rate
        self.lock = threading.Lock()
        self.kept_s: list[float] = []
        self.newest_s: list[float] = []
        """Of records since `live` that were acknowledged while older ones of their agent were still owed."""
        self._live_from_s = 0.0
        self._owed = 0.0
        self._at = self._next = 0
        self.committed = self.acknowledged = 0
        self._flights: dict[int, tuple[Agent, int]] = {}
        self._ready = threading.Event()
        hooks = Hooks(self._on_message, self._on_connected, lambda _: None, self._on_published)
        self._connection = Connection(
            parse_broker(url), "bench-fleet", hooks, subscriptions=[(agent_topics_of(None, "sack"), 1)]
        )
        self._connection.start()
        if not self._ready.wait(30):
            raise RuntimeError("the fleet could not connect")

    def _on_connected(self) -> None:
        with self.lock:
            for agent in self.agents.values():
                agent.window.connected(time.monotonic())
                agent.stirred = True
        self._ready.set()

    def _on_published(self, published: Published) -> None:
        with self.lock:
            found = self._flights.pop(published.token, None)
            if found is not None:
                found[0].window.published(found[1], published.outcome, time.monotonic())

    def _on_message(self, message: Message) -> None:
        sack = decode(message.payload, Sack)
        agent = self.agents.get(sack.node)
        if agent is None or sack.epoch != agent.epoch:
            return
        now_s = time.monotonic()
        with self.lock:
            gone = agent.settle(sack, now_s)
            self.acknowledged += len(gone)
            self.kept_s += [kept for _, kept in gone]
            since_s = now_s - self._live_from_s
            self.newest_s += [kept for seq, kept in gone if seq > agent.settled.cum and kept <= since_s]

    def run(self) -> None:
        """Commits at the rate and sends what the windows allow, for ever."""
        last_s = time.monotonic()
        looked_s = 0.0
        while True:
            time.sleep(TURN_S)
            now_s = time.monotonic()
            with self.lock:
                self._owed += min(now_s - last_s, 5.0) * self.rate
                last_s = now_s
                while self._owed >= 1:
                    self._owed -= 1
                    self._turn[self._at % len(self._turn)].commit(1, now_s)
                    self._at += 1
                    self.committed += 1
                everyone = now_s - looked_s > 0.5  # what is due again
                looked_s = now_s if everyone else looked_s
                self._send_of_all(now_s, everyone)

    def backlog(self, count: int) -> None:
        """Commits so many records at once, dealt out to all."""
        with self.lock:
            for agent in self._turn:
                agent.commit(count // len(self._turn), time.monotonic())
            self.committed += count // len(self._turn) * len(self._turn)

    def _send_of_all(self, now_s: float, everyone: bool) -> None:
        """A batch of each agent in turn, as far as their windows allow: as connections of their own would share a link.

        Where the one connection is full it goes on there next time.
        """
        order = self._turn[self._next :] + self._turn[: self._next]
        turn = [agent for agent in order if agent.stirred or everyone]
        for agent in turn:
            agent.refresh()
        while turn:
            more = []
            for at, agent in enumerate(turn):
                sent = self._send(agent, now_s)
                if sent is None:
                    for left in turn[at:] + more:
                        left.stirred = True
                    self._next = self._turn.index(agent)
                    return
                if sent:
                    more.append(agent)
            turn = more

    def _send(self, agent: Agent, now_s: float) -> bool | None:
        """A batch, if the agent's window allows one: whether it does, None where the connection takes no more."""
        while (want := agent.window.next(now_s)) is not None:
            first, last, records = agent.cut(want)
            if not records:
                agent.window.nothing(want, first, last)
                continue
            batch = Batch(agent.node, agent.epoch, agent.settled.cum + 1, [], records)
            token = self._connection.publish(Publication(agent.topic, encode(batch), expiry_s=60))
            if token is None:
                return None
            owes = RangeSet((entry.seq, entry.seq) for entry in records)
            self._flights[token] = agent, agent.window.launched(want, first, last, owes, len(records), [], now_s)
            return True
        return False

    def live(self) -> None:
        """What is committed from now on is of now, whatever was committed before."""
        with self.lock:
            self._live_from_s, self.newest_s = time.monotonic(), []

    def counted(self) -> dict[str, int]:
        """What was committed and acknowledged so far."""
        return {"committed": self.committed, "acknowledged": self.acknowledged}

    def told(self) -> dict[str, Any]:
        """What is where, and the latencies since this was last asked."""
        with self.lock:
            kept, newest, self.kept_s, self.newest_s = sorted(self.kept_s), sorted(self.newest_s), [], []
            held = sum(len(agent.records) for agent in self.agents.values())
            resent = sum(agent.window.counters.get("batches_resent", 0) for agent in self.agents.values())
        return {
            "committed": self.committed, "acknowledged": self.acknowledged, "kept": held, "batches_resent": resent,
            "kept_s": _quantiles(kept), "newest_s": _quantiles(newest), "settled": len(kept),
            "settled_newest": len(newest),
        }  # fmt: skip


def _quantiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    return {
        name: round(values[min(len(values) - 1, int(len(values) * share))], 4)
        for name, share in (("p1", 0.01), ("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


def main() -> None:
    """Runs the fleet until its standard input ends."""
    fleet = Fleet(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
    threading.Thread(target=fleet.run, name="fleet", daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        if word == "rate":
            fleet.rate = float(number)
        elif word == "backlog":
            fleet.backlog(int(number))
        elif word == "live":
            fleet.live()
        answers = {"told": fleet.told, "count": fleet.counted}
        print(json.dumps(answers[word]() if word in answers else {}), flush=True)


if __name__ == "__main__":
    main()

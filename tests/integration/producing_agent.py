"""A real agent that also produces records at speed and writes down what it owes.

Usage: producing_agent.py --config agent.toml --obligations FILE --life NAME [--count N] [--together N] [--pause-ms N]

After each durable return of the spool one line a record goes to FILE: epoch, seq, and the record's own text. What
stands there must reach the store, once. The agent is the real one; only its producer is the test's.
"""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from tinyprof_agent.config import load_config
from tinyprof_agent.service import AgentService
from tinyprof_protocol.records import Event


def produce(service: AgentService, options: argparse.Namespace, told: threading.Event) -> None:
    """Records events, `together` at a time, and notes each once the spool has it."""
    notes = os.open(options.obligations, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    spool = service._spool
    made = 0
    while not told.is_set() and (not options.count or made < options.count):
        texts = [f"{options.life}-{made + i}" for i in range(options.together)]
        seqs = spool.record([Event("produced", message=text + "." * options.padding) for text in texts])
        epoch = spool.views()[-1].epoch.hex()
        if seqs:
            os.write(notes, "".join(f"{epoch} {s} {t}\n" for s, t in zip(seqs, texts, strict=True)).encode())
        made += len(texts)
        told.wait(options.pause_ms / 1000)
    print("produced all", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--obligations", required=True)
    parser.add_argument("--life", required=True)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--together", type=int, default=3)
    parser.add_argument("--padding", type=int, default=0)
    parser.add_argument("--pause-ms", type=float, default=2.0)
    options = parser.parse_args()
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    service = AgentService(load_config(options.config))
    service.start()
    produce(service, options, told)
    told.wait()
    return 0 if service.stop() else 1


if __name__ == "__main__":
    sys.exit(main())

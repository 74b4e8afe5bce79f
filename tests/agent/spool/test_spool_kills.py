"""SIGKILL at random points of a process that appends and acknowledges: what it said was durable is there."""

import json
import subprocess
import sys
from pathlib import Path

KILLS = 200

_PROGRAM = '''
import json, os, random, signal, sys, threading, time
from pathlib import Path
from tinyprof_agent.clock import host_clock
from tinyprof_agent.spool import Spool
from tinyprof_protocol.codec import unpack
from tinyprof_protocol.records import Event, Record

path, kills, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))


def child(out, round_number):
    """Three threads append; each word on the pipe is one write, made once the spool says durable."""
    spool = Spool.open(path, host_clock("always"), cap_bytes=1 << 20)
    os.write(out, b"open\\n")

    def work(thread):
        for number in range(10_000):
            name = f"{round_number}-{thread}-{number}"
            for seq in spool.record([Event(name, message="m" * rng.randrange(300))] * rng.randint(1, 3)):
                os.write(out, f"{seq} {name}\\n".encode())

    threads = [threading.Thread(target=work, args=(thread,), daemon=True) for thread in range(3)]
    for thread in threads:
        thread.start()
    while True:
        time.sleep(0.001)
        for view in spool.views()[:-1]:
            spool.acknowledge(view.epoch, view.base)


def check(said):
    """Opens what is left: every word said is held, seqs have no holes, and nothing is there twice."""
    spool = Spool.open(path, host_clock("always"), cap_bytes=1 << 20)
    views = spool.views()
    died = views[-2] if len(views) > 1 else None
    held = {}
    if died is not None:
        piece = spool.take(died.epoch, 1, died.head, max_records=10**6, max_bytes=10**9)
        held = {e.seq: unpack(e.data, Record).body.name for e in piece.records}
        assert sorted(held) == list(range(1, died.head + 1)), "holes"
    lost = {seq: name for seq, name in said.items() if held.get(seq) != name}
    for view in views[:-2]:
        spool.acknowledge(view.epoch, view.head)
    spool.close()
    return lost, len(held)


total = durable = 0
for round_number in range(kills):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        child(write, round_number)
    os.close(write)
    wanted = rng.choice([0, 1, 5, 20, 60])
    text = b""
    while text.count(b"\\n") <= wanted:
        text += os.read(read, 65536)
    time.sleep(rng.random() * 0.004)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while more := os.read(read, 65536):
        text += more
    os.close(read)
    words = [line.split() for line in text.decode().splitlines()[1:]]
    said = {int(word[0]): word[1] for word in words if len(word) == 2}
    lost, held = check(said)
    if lost:
        sys.exit(f"kill {round_number}: lost {lost}")
    total += len(said)
    durable += held
print(json.dumps({"kills": kills, "said": total, "held": durable}))
'''


def test_nothing_that_was_said_to_be_durable_is_lost_in_200_kills(tmp_path: Path) -> None:
    program = tmp_path / "kills.py"
    program.write_text(_PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path / "s.db"), str(KILLS), "1"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["kills"] == KILLS
    assert found["held"] >= found["said"] > KILLS

"""The first decoder of a struct may be wanted by several threads at once."""

import subprocess
import sys
from pathlib import Path

from protocol_examples import EXAMPLES

from tinyprof_protocol.codec import pack
from tinyprof_protocol.records import Record

PROGRAM = Path(__file__).parent / "first_decoders.py"
TIMES = 8
"""Without a lock about half of the processes die."""


def test_threads_that_decode_their_first_records_at_once_do_not_crash(tmp_path):
    record = next(example for example in EXAMPLES.values() if isinstance(example, Record))
    path = tmp_path / "record"
    path.write_bytes(pack(record))
    for _ in range(TIMES):
        told = subprocess.run([sys.executable, str(PROGRAM), str(path)], capture_output=True, text=True, timeout=60)
        assert (told.returncode, told.stdout) == (0, "4\n"), told.stderr

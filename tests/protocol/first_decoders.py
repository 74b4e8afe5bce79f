"""Decodes records from several threads at once in a process that has made no decoder yet; run by a test, apart."""

import sys
import threading
from pathlib import Path

from tinyprof_protocol.codec import unpack
from tinyprof_protocol.records import Record

THREADS = 4


def main() -> None:
    """Decodes the file that is named."""
    data = Path(sys.argv[1]).read_bytes()
    sys.setswitchinterval(1e-6)
    together = threading.Barrier(THREADS)
    decoded: list[Record] = []

    def work() -> None:
        together.wait()
        decoded.append(unpack(data, Record))

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(len(decoded))


if __name__ == "__main__":
    main()

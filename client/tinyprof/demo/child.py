"""`python -m tinyprof.demo.child MODULE ARGUMENTS`: runs a module and ends it when the demo that started it is gone.

The demo holds the other end of this process's standard input: when the demo ends, however it does, that closes.
"""

import os
import runpy
import signal
import sys
import threading
import time

END_WITHIN_S = 15.0


def _end_with_parent() -> None:
    """Asks this process to end as a person would, then ends it."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_WITHIN_S)
    os._exit(1)


def main() -> None:
    """Runs the module named first with the arguments behind it."""
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

"""`python leash.py PARENT COMMAND...`: becomes the command, and dies with the thread that started it.

Linux sends the signal that is set here (prctl(2), PR_SET_PDEATHSIG) even to a process that is stopped.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # Where the parent was gone before that, no signal would ever come.
    if os.getppid() != parent:
        sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the command is a target's own, without a shell
    except OSError as why:
        sys.exit(f"{command[0]} does not start: {why.strerror}")

"""This machine, as the results file describes it."""

import platform

from tinyprof.benchmarking.results_file import Machine
from tinyprof_platforms.catalogue import read_host


def this_machine() -> Machine:
    """What this machine says of itself."""
    import os

    host = read_host()
    return Machine(
        system=f"{platform.system()} {platform.release()}"[:300],
        architecture=platform.machine()[:64],
        cpu=host.cpu,
        cpus=os.cpu_count() or 0,
        memory_bytes=sum(region.bytes for region in host.ram),
        python=platform.python_version()[:64],
    )

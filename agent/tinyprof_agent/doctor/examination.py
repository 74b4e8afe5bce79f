"""All checks in order, each found before the next begins."""

from collections.abc import Callable, Iterator

from tinyprof_agent.clock import kernel_synchronised
from tinyprof_agent.config import AgentConfig
from tinyprof_agent.doctor.boards import check_board
from tinyprof_agent.doctor.broker import check_broker, check_reachable
from tinyprof_agent.doctor.findings import Finding
from tinyprof_agent.doctor.state_folder import SPOOL, check_folder, check_spool, holder_of
from tinyprof_agent.golden_files import BadGoldenFile, cases_of_files
from tinyprof_agent.model_files import BadModelFile, shapes_of_files
from tinyprof_platforms.suites import SuiteError, suites_with


def examine(config: AgentConfig, *, boards: bool = True) -> Iterator[Finding]:
    """What is found, one by one; `boards` False opens none of them. Nothing that a running agent holds is touched."""
    yield Finding("configuration", "ok", f"it can be used; {config.node}, boards: {len(config.boards)}")
    folder = config.state_folder()
    holder = holder_of(folder / SPOOL)
    yield check_folder(folder)
    yield check_spool(folder / SPOOL, config.spool.cap_bytes, holder)
    yield check_clock(config.clock.trust, kernel_synchronised())
    address = config.broker_address()
    if holder is None:
        yield from check_broker(address, config.node)
    else:
        yield check_reachable(address)
    yield from check_files(config)
    for board in config.boards if boards else ():
        yield check_board(board, agent_runs=holder is not None)


def check_clock(trust: str, synchronised: bool) -> Finding:
    """Whether records will have a time that can be trusted."""
    if synchronised:
        return Finding("clock", "ok", "the kernel keeps it synchronised")
    if trust == "always":
        return Finding("clock", "warning", "it is not synchronised, and clock.trust = always takes it as it is")
    line = "it is not synchronised: start NTP ('timedatectl set-ntp true'); after a minute a collector's time is taken"
    return Finding("clock", "warning", line)


def check_files(config: AgentConfig) -> Iterator[Finding]:
    """Whether the files that the configuration names can be read."""
    checks: list[tuple[str, list[str], Callable[[list[str]], object]]] = [
        ("models", config.model_files, shapes_of_files),
        ("golden outputs", config.golden_files, cases_of_files),
        ("suites", config.suite_files, suites_with),
    ]
    for what, paths, read in checks:
        try:
            read(paths)
        except (BadModelFile, BadGoldenFile, SuiteError) as why:
            yield Finding(what, "failed", str(why))
        else:
            own = f"and {len(paths)} of your own " if paths else ""
            yield Finding(what, "ok", f"those that ship {own}can be read")

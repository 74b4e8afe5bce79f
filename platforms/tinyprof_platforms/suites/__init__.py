"""Suites: what a run asks for, by name. Each is a TOML file that is called as the suite is; some ship with this."""

from tinyprof_platforms.suites.files import find_suite, read_suite, shipped_suites, suite_named, suites_with
from tinyprof_platforms.suites.suite import (
    CHANGED_BY_JOBS,
    MAX_PROMPT_BYTES,
    MAX_REPETITIONS,
    MAX_RUNS,
    MAX_TOKENS,
    Suite,
    SuiteError,
    Suites,
    adapt,
    offered,
    suite_terms,
)

__all__ = [
    "CHANGED_BY_JOBS",
    "MAX_PROMPT_BYTES",
    "MAX_REPETITIONS",
    "MAX_RUNS",
    "MAX_TOKENS",
    "Suite",
    "SuiteError",
    "Suites",
    "adapt",
    "find_suite",
    "offered",
    "read_suite",
    "shipped_suites",
    "suite_named",
    "suite_terms",
    "suites_with",
]

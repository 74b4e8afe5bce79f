"""Suites from their files: those that ship, and those of one's own. The name of the file is that of the suite."""

import functools
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

from tinyprof_platforms.suites.suite import Suite, SuiteError, Suites
from tinyprof_protocol import configuration
from tinyprof_protocol.names import BadName, check_name

SUFFIX = ".toml"


def read_suite(path: Path) -> tuple[str, Suite]:
    """The suite in a file, and its name. Raises SuiteError with a line that names the file, the suite and the key."""
    name = path.name.removesuffix(SUFFIX)
    try:
        check_name("suite", name)
        return name, configuration.load(Suite, path, {}, {})
    except BadName as why:
        raise SuiteError(f"{path}: a suite is called as its file is, and {why}") from None
    except configuration.BadConfig as why:
        line = str(why)
        if line.endswith(": unknown key"):
            line += f"; there are {', '.join(Suite.__struct_fields__)}"
        raise SuiteError(f"suite {name!r}: {line}") from None


@functools.cache
def shipped_suites() -> Suites:
    """The suites that ship with tinyprof, by name."""
    folder = Path(str(resources.files(__package__)))
    return dict(read_suite(path) for path in sorted(folder.glob(f"*{SUFFIX}")))


def suites_with(paths: Iterable[str]) -> Suites:
    """The suites that ship and those of these files. Raises SuiteError, also for two of one name."""
    suites = dict(shipped_suites())
    for path in paths:
        name, suite = read_suite(Path(path).expanduser())
        if name in suites:
            kind = "one that ships" if name in shipped_suites() else "another one"
            raise SuiteError(
                f"{path}: {kind} is called {name!r} too; figures of both would look alike: rename the file"
            )
        suites[name] = suite
    return suites


def suite_named(name: str, suites: Mapping[str, Suite]) -> Suite:
    """The suite of that name. Raises SuiteError with a line that lists the names there are."""
    if name not in suites:
        raise SuiteError(f"no suite is called {name!r}; there are {', '.join(sorted(suites))}")
    return suites[name]


def find_suite(text: str) -> tuple[str, Suite]:
    """The suite that a person means, and its name: one that ships, or the file of one's own. Raises SuiteError."""
    if text.endswith(SUFFIX) or "/" in text:
        path = Path(text).expanduser()
        name, suite = read_suite(path)
        shipped = shipped_suites()
        if name in shipped and shipped[name] != suite:
            raise SuiteError(f"{path}: one that ships is called {name!r} too; rename the file")
        return name, suite
    return text, suite_named(text, shipped_suites())

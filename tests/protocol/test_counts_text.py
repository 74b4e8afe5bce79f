"""Counts of things in words, and that nobody writes them in another way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyprof_protocol.counts_text import noun, some

ROOT = Path(__file__).parents[2]
ROLES = ("agent", "client", "collector", "dashboard_tui")
THINGS = (
    "board",
    "run",
    "job",
    "record",
    "row",
    "entry",
    "agent",
    "collector",
    "batch",
    "repetition",
    "token",
    "request",
)


@pytest.mark.parametrize(
    ("count", "what", "words"),
    [
        (0, "board", "0 boards"),
        (1, "board", "1 board"),
        (1204, "record", "1,204 records"),
        (1, "entry", "1 entry"),
        (2, "entry", "2 entries"),
        (2, "day", "2 days"),
        (2, "batch", "2 batches"),
        (3, "open job", "3 open jobs"),
        (4, "ended epoch", "4 ended epochs"),
    ],
)
def test_one_and_many(count: int, what: str, words: str) -> None:
    assert some(count, what) == words


def is_sure(value: ast.expr, told: str) -> bool:
    """Whether it is a bound, which is never one, or what another function has put into words, or a rate."""
    a_bound = isinstance(value, ast.Name) and value.id.isupper()
    in_words = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id.startswith("_")
    return a_bound or in_words or told.startswith(" tokens/s")


def counted_by_hand(path: Path) -> Iterator[str]:
    """Texts in which a plain count stands before a plural that it may not be."""
    plurals = tuple(f" {noun(2, thing)}" for thing in THINGS)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            for value, text in zip(node.values, node.values[1:], strict=False):
                told = text.value if isinstance(text, ast.Constant) else ""
                if (
                    isinstance(value, ast.FormattedValue)
                    and told.startswith(plurals)
                    and not is_sure(value.value, told)
                ):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(value)}{told}"


def test_nobody_counts_by_hand() -> None:
    found = [line for role in ROLES for path in sorted((ROOT / role).rglob("*.py")) for line in counted_by_hand(path)]
    assert found == []

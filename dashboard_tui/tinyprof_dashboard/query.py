"""The filter's language: words, comparisons, AND by a space, OR by `|`, NOT by `!`.

berlin state:critical        both
decode<5 | ttft>200          either
!verdict:valid age>1m        with units: s m h d for times, k M G for the rest
"quantised model"            quotes keep a space
"""

import re
from collections.abc import Callable
from typing import Final

from tinyprof_dashboard import columns
from tinyprof_dashboard.columns import Moment
from tinyprof_dashboard.snapshot import Row
from tinyprof_protocol.metrics import METRICS

Predicate = Callable[[Row, Moment], bool]
Read = Callable[[Row, Moment], "float | str | None"]
MAX_LENGTH = 400
MAX_TERMS = 64

_TOKEN = re.compile(r'\s*(\||"[^"]*"|(?:[^\s|"]|"[^"]*")+|")')
_COMPARISON = re.compile(r"(?P<field>[A-Za-z_][A-Za-z0-9_]*)(?P<operator><=|>=|!=|<|>|=|:)(?P<value>.*)", re.DOTALL)
_NUMBER = re.compile(r"(?P<digits>[+-]?(?:\d+\.?\d*|\.\d+))(?P<unit>[A-Za-z%°]*)")
_FACTORS: Final = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_SIZES: Final = {"": 1.0, "b": 1.0, "k": 1024.0, "m": 1024.0**2, "g": 1024.0**3}
_TIMES: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class BadQuery(ValueError):
    """A filter that cannot be understood; the message is one line that says why."""


def _texts(read: Callable[[Row], str | None]) -> Read:
    return lambda row, _moment: read(row)


TEXT_FIELDS: Final[dict[str, Read]] = {
    "state": _texts(lambda row: f"{row.health} {row.summary.state}"),
    "site": _texts(lambda row: row.site),
    "agent": _texts(lambda row: row.agent),
    "node": _texts(lambda row: row.key[0]),
    "board": _texts(lambda row: row.board),
    "platform": _texts(lambda row: f"{row.summary.platform} {row.summary.stands_for or ''}"),
    "model": _texts(columns.model_text),
    "engine": _texts(lambda row: row.summary.engine),
    "driver": _texts(lambda row: row.summary.driver),
    "verdict": _texts(lambda row: row.summary.verdict),
    "golden": _texts(lambda row: row.summary.golden),
    "reason": _texts(lambda row: " ".join(row.reasons)),
    "emulated": _texts(lambda row: "yes" if row.summary.emulated else "no"),
}
_TEXT_COLUMNS = set(TEXT_FIELDS)
NUMBER_FIELDS: Final[dict[str, Read]] = {
    **{column.name: column.value for column in columns.COLUMNS if column.name not in _TEXT_COLUMNS},
    "runs": lambda row, _moment: row.summary.results,
    "invalid": lambda row, _moment: row.summary.invalid,
    "unstable": lambda row, _moment: row.summary.unstable,
}


def compile_query(text: str) -> Predicate:
    """The test of a row that a filter stands for; an empty filter lets all through. Raises BadQuery."""
    if len(text) > MAX_LENGTH:
        raise BadQuery(f"the filter is longer than {MAX_LENGTH} characters")
    tokens = [match.group(1) for match in _TOKEN.finditer(text)]
    if len(tokens) > MAX_TERMS:
        raise BadQuery(f"the filter has more than {MAX_TERMS} terms")
    if not tokens:
        return lambda _row, _moment: True
    alternatives: list[list[Predicate]] = [[]]
    for item in tokens:
        if item == "|":
            alternatives.append([])
        else:
            alternatives[-1].append(_term(item))
    if not all(alternatives):
        raise BadQuery("`|` needs a term on both sides")
    if len(alternatives) == 1:
        return _all_of(alternatives[0])
    tests = [_all_of(terms) for terms in alternatives]
    return lambda row, moment: any(test(row, moment) for test in tests)


def _all_of(terms: list[Predicate]) -> Predicate:
    if len(terms) == 1:
        return terms[0]
    return lambda row, moment: all(test(row, moment) for test in terms)


def _term(token: str) -> Predicate:
    if token.startswith("!") and len(token) > 1:
        inner = _term(token[1:])
        return lambda row, moment: not inner(row, moment)
    comparison = None if token.startswith('"') else _COMPARISON.fullmatch(token)
    if comparison is not None:
        return _comparison(comparison["field"].lower(), comparison["operator"], _unquoted(comparison["value"]))
    word = _unquoted(token).lower()
    if not word:
        raise BadQuery("an empty pair of quotes matches nothing")
    return lambda row, _moment: word in row.text


def _unquoted(text: str) -> str:
    if text.count('"') % 2:
        raise BadQuery("a quote is not closed")
    return text.replace('"', "")


def _comparison(field: str, operator: str, value: str) -> Predicate:
    if not value:
        raise BadQuery(f"{field}{operator} needs a value behind it")
    if field in TEXT_FIELDS:
        return _text_test(field, TEXT_FIELDS[field], operator, value.lower())
    if field in NUMBER_FIELDS:
        return _number_test(NUMBER_FIELDS[field], operator, _number(field, value))
    if field in METRICS:
        return _number_test(lambda row, _moment: columns.figure(row, field), operator, _number(field, value))
    raise BadQuery(f"there is no field {field!r}: {', '.join([*TEXT_FIELDS, *NUMBER_FIELDS])}, or a metric's name")


def _text_test(field: str, read: Read, operator: str, value: str) -> Predicate:
    if operator == ":":
        return lambda row, moment: value in str(read(row, moment) or "").lower()
    if operator == "=":
        return lambda row, moment: value in _words(read(row, moment))
    if operator == "!=":
        return lambda row, moment: value not in _words(read(row, moment))
    raise BadQuery(f"{field} is text: compare it with `:`, `=` or `!=`")


def _words(value: float | str | None) -> tuple[str, ...]:
    text = str(value or "").lower()
    return (text, *text.split())


def _number_test(read: Read, operator: str, bound: float) -> Predicate:
    tests: dict[str, Callable[[float], bool]] = {
        "<": lambda value: value < bound,
        "<=": lambda value: value <= bound,
        ">": lambda value: value > bound,
        ">=": lambda value: value >= bound,
        "=": lambda value: value == bound,
        ":": lambda value: value == bound,
        "!=": lambda value: value != bound,
    }
    test = tests[operator]

    def predicate(row: Row, moment: Moment) -> bool:
        value = read(row, moment)
        return isinstance(value, (int, float)) and test(value)

    return predicate


def _number(field: str, text: str) -> float:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise BadQuery(f"{field} is a number: {text!r} is none")
    factor = _factor(field, match["unit"])
    if factor is None:
        raise BadQuery(f"{match['unit']!r} is no unit of {field}")
    return float(match["digits"]) * factor


def _factor(field: str, unit: str) -> float | None:
    if field == "age":
        return _TIMES.get(unit)
    if field == "ram" or (field in METRICS and METRICS[field].unit == "B"):
        return _SIZES.get(unit.lower().removesuffix("ib"))
    if field in ("temperature", "temperature_c") and unit.upper() in ("C", "°C", "°"):
        return 1.0
    return _FACTORS.get(unit)

"""Reads a service's configuration: one TOML file, each key also from the environment, into frozen structs.

The key `max_bytes` of `[ingest]` is also `TINYPROF_INGEST_MAX_BYTES`; a list is separated by commas there, and an empty
variable counts as not set. A variable goes before the file, but does not hide that the file is wrong.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from tinyprof_protocol.names import NAME_RULE, Name

PREFIX: Final = "TINYPROF_"
_TOML_NAMES: Final = {"str": "string", "int": "integer", "bool": "boolean", "object": "table"}
_Config = TypeVar("_Config", bound=Struct)


class BadConfig(ValueError):
    """A configuration that cannot be used. One line: the file or variable, the key, what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a configuration: the tables above it and its own name, and the type of its value."""

    path: tuple[str, ...]
    kind: Any

    def __str__(self) -> str:
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + "_".join(self.path).upper()


def load(
    kind: type[_Config],
    path: Path | None,
    environment: Mapping[str, str],
    plain: Mapping[str, tuple[str, ...]],
) -> _Config:
    """The configuration of a file (None: the defaults) with the environment over it. Raises BadConfig.

    Every field of `kind` has a default; unknown keys are errors where it forbids them. What a struct checks by itself
    in `__post_init__` it refuses with a ValueError that reads `key: what is wrong`. `plain` maps variables that are
    honoured without the prefix to the keys that they set; one with the prefix goes before them.
    """
    values = {} if path is None else _read(path)
    source = "defaults" if path is None else str(path)
    _choose(values, kind)
    config = _convert(values, kind, source, {})
    variables = _variables(kind, environment, plain)
    for key, variable in variables.items():
        _put(values, key.path, _from_text(environment[variable], key, variable))
    if not variables:
        return config
    return _convert(values, kind, source, {str(key): variable for key, variable in variables.items()})


def keys_of(kind: type[Struct], above: tuple[str, ...] = ()) -> Iterator[Key]:
    """The keys of a configuration that hold a value, those of its tables included; not what is in lists of tables."""
    for name, held in get_type_hints(kind, include_extras=True).items():
        if _is_struct(held):
            yield from keys_of(held, (*above, name))
        elif name in kind.__struct_fields__:
            yield Key((*above, name), held)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as why:
        raise BadConfig(f"{path}: cannot be read: {why.strerror or why}") from None
    except ValueError as why:
        raise BadConfig(f"{path}: is not TOML: {_line(why)}") from None


def _variables(
    kind: type[Struct], environment: Mapping[str, str], plain: Mapping[str, tuple[str, ...]]
) -> dict[Key, str]:
    """The keys that the environment sets, each with the variable that does."""
    keys = {key.path: key for key in keys_of(kind) if not _holds_tables(key.kind)}
    found = {keys[path]: variable for variable, path in plain.items() if environment.get(variable)}
    return found | {key: key.variable for key in keys.values() if environment.get(key.variable)}


def _convert(values: dict[str, Any], kind: type[_Config], source: str, variables: Mapping[str, str]) -> _Config:
    """`variables` says by which variable a key was set; any other comes from `source`."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as why:
        key, what = _explain(str(why), kind)
        variable = variables.get(key.partition("[")[0])
        where = source if variable is None else f"environment variable {variable}"
        raise BadConfig(f"{where}: {key}: {what}") from None


def _from_text(text: str, key: Key, variable: str) -> Any:
    value: Any = text
    if get_origin(_bare(key.kind)) is list:
        value = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return msgspec.to_builtins(msgspec.convert(_chosen(value, key.kind), key.kind, strict=False))
    except msgspec.ValidationError as why:
        said, _, place = _line(why).partition(" - at `$")
        place = place.rstrip("`")
        what = _what(said, _kind_at(key.kind, place))
        raise BadConfig(f"environment variable {variable}: {key}{place}: {what}") from None


def _choose(values: dict[str, Any], kind: type[Struct]) -> None:
    """Words of a fixed set may be written in any case; here they take the set's."""
    for key in keys_of(kind):
        table: Any = values
        for name in key.path[:-1]:
            table = table.get(name) if isinstance(table, dict) else None
        if isinstance(table, dict) and key.path[-1] in table:
            table[key.path[-1]] = _chosen(table[key.path[-1]], key.kind)


def _chosen(value: Any, kind: Any) -> Any:
    if not isinstance(value, str):
        return value
    return next((choice for choice in _choices(kind) if choice.casefold() == value.casefold()), value)


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value


def _explain(message: str, kind: type[Struct]) -> tuple[str, str]:
    """The key and what is wrong with it, of what msgspec says: "Expected `int`, got `str` - at `$.spool.cap_bytes`"."""
    text, _, place = _line(message).partition(" - at `$")
    table = place.rstrip("`").lstrip(".")
    named = re.fullmatch(r"Object (contains unknown|missing required) field `(.*)`", text)
    if named is not None:
        key = _joined(table, named[2])
        return key, "is missing" if named[1] == "missing required" else _unknown(table, named[2], kind)
    if re.match(r"Expected `|Invalid ", text):
        return table, _what(text, _kind_at(kind, table))
    key, _, what = text.partition(": ")
    return _joined(table, key), what


def _what(text: str, kind: Any) -> str:
    choices = _choices(kind)
    if choices and text.startswith("Invalid enum value "):
        return f"{text.removeprefix('Invalid enum value ')} is none of {', '.join(choices)}"
    if kind == Name and "matching regex" in text:
        return f"expected a name: {NAME_RULE}"
    toml = re.sub(r"`(\w+)`", lambda found: _TOML_NAMES.get(found[1], found[1]), text)
    return toml[:1].lower() + toml[1:]


def _unknown(table: str, name: str, kind: type[Struct]) -> str:
    """Names the known key that is nearest: in the same table, else in any, as a key below the wrong header is."""
    here = _kind_at(kind, table)
    siblings = here.__struct_fields__ if _is_struct(here) else ()
    near = [_joined(table, sibling) for sibling in difflib.get_close_matches(name, siblings, 1)]
    if not near:
        elsewhere = {key.path[-1]: str(key) for key in keys_of(kind)}
        near = [elsewhere[last] for last in difflib.get_close_matches(name, elsewhere, 1)]
    return f"unknown key; did you mean {near[0]}?" if near else "unknown key"


def _kind_at(kind: Any, place: str) -> Any:
    """The type at `boards[0].name`; None where it is not known."""
    for step in re.findall(r"[^.\[\]]+|\[[^\]]*\]", place):
        kind = _bare(kind)
        if step.startswith("["):
            kind = get_args(kind)[0] if get_origin(kind) is list else None
        else:
            kind = get_type_hints(kind, include_extras=True).get(step) if _is_struct(kind) else None
    return kind


def _choices(kind: Any) -> tuple[str, ...]:
    bare = _bare(kind)
    choices = get_args(bare) if get_origin(bare) is Literal else ()
    return choices if all(isinstance(choice, str) for choice in choices) else ()


def _holds_tables(kind: Any) -> bool:
    bare = _bare(kind)
    return _is_struct(bare) or get_origin(bare) is dict or any(_holds_tables(held) for held in get_args(bare))


def _bare(kind: Any) -> Any:
    return _bare(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _joined(table: str, name: str) -> str:
    return f"{table}.{name}" if table else name


def _line(text: object) -> str:
    return " ".join(str(text).split())

"""The collector's configuration: TOML, with each key also in the environment as `TINYPROF_SECTION_KEY`.

Unknown keys and wrong types are errors of one line that name the file (or the variable) and the key.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct, field

from tinyprof_protocol.broker_address import DEFAULT_URL, BadAddress, BrokerAddress, parse_broker
from tinyprof_protocol.names import NAME_RULE, PARTITIONS, Name
from tinyprof_protocol.presence import SPARK_POINTS

ENVIRONMENT_PREFIX = "TINYPROF_"
PLAIN_VARIABLES: dict[str, tuple[str, ...]] = {"LOG_LEVEL": ("log_level",), "MAX_WORKERS": ("replies", "workers")}
"""Variables without the prefix that are honoured too; one with the prefix wins over them."""

Positive = Annotated[int, Meta(ge=1, le=1_000_000)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Ratio = Annotated[float, Meta(gt=0, le=1)]


class BadConfig(ValueError):
    """A configuration that cannot be used; the message is one line that names the key and where it stands."""


class SqliteConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The embedded store. An empty `path` is `store.sqlite` in the state directory."""

    path: str = ""
    retention_days: Annotated[float, Meta(gt=0, le=36_500)] = 30.0


class StoreConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where records go; a record is stored when every store has it."""

    sqlite: SqliteConfig = SqliteConfig()


class IngestConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds between the broker and the stores; what is over them falls, is counted, and comes again."""

    batches_per_agent: Positive = 8
    max_batches: Positive = 80_000
    max_bytes: Annotated[int, Meta(ge=1_048_576, le=2**40)] = 256 * 1024 * 1024
    take_batches: Positive = 1024
    """How many batches are stored in one transaction at most."""
    watchdog_intervals: Annotated[int, Meta(ge=2, le=100)] = 3
    """The connection is made anew when nothing came for so many of the collector's status intervals."""


class HealthConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """When something is no longer healthy."""

    stale_intervals: Annotated[float, Meta(ge=1, le=100)] = 3.0
    """An agent or a board is stale without a word for so many of its own intervals."""
    missing_critical_s: Seconds = 60.0
    skew_warning_ms: Annotated[float, Meta(gt=0, le=1e12)] = 2000.0
    spool_warning: Ratio = 0.8
    spool_critical: Ratio = 0.95
    invalid_runs_critical: Annotated[int, Meta(ge=1, le=SPARK_POINTS)] = 3
    """One invalid result is a warning; so many in a row are critical. The newest 32 runs are looked at."""


class EndpointsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where /healthz, /readyz and /metrics are served: `host:port`, port 0 for a free one, empty for not at all."""

    listen: str = "127.0.0.1:0"


class RepliesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How requests of clients are answered."""

    workers: Annotated[int, Meta(ge=1, le=32)] = 1
    max_queued: Positive = 256
    max_jobs: Positive = 1000


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """A collector's whole configuration."""

    id: Name = "main"
    broker: str = DEFAULT_URL
    broker_ca: str = ""
    """A file with the certificates that a `mqtts://` broker is checked against; empty: the system's."""
    partitions: Annotated[list[Annotated[int, Meta(ge=0, lt=PARTITIONS)]], Meta(max_length=PARTITIONS)] = field(
        default_factory=lambda: list(range(PARTITIONS))
    )
    state_dir: str = ""
    """Empty: $STATE_DIRECTORY, else `tinyprof/collector` in $XDG_STATE_HOME."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    status_interval_s: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0
    stop_timeout_s: Seconds = 10.0
    store: StoreConfig = StoreConfig()
    ingest: IngestConfig = IngestConfig()
    health: HealthConfig = HealthConfig()
    endpoints: EndpointsConfig = EndpointsConfig()
    replies: RepliesConfig = RepliesConfig()

    def broker_address(self) -> BrokerAddress:
        """Where the broker is. Raises BadConfig."""
        try:
            return parse_broker(self.broker, ca_file=Path(self.broker_ca) if self.broker_ca else None)
        except BadAddress as why:
            raise BadConfig(f"broker: {why}") from None

    def listen_address(self) -> tuple[str, int] | None:
        """Host and port of the endpoints, or None if they are off. Raises BadConfig."""
        listen = self.endpoints.listen
        if not listen:
            return None
        host, colon, port = listen.rpartition(":")
        if not colon or not host or not port.isdecimal() or int(port) > 65535:
            raise BadConfig(f"endpoints.listen: {listen!r} is not host:port, such as 127.0.0.1:9464")
        return host.strip("[]"), int(port)


def state_dir_of(config: Config, environment: Mapping[str, str]) -> Path:
    """The directory of the collector's state, as configured or by default."""
    if config.state_dir:
        return Path(config.state_dir).expanduser()
    if environment.get("STATE_DIRECTORY"):
        return Path(environment["STATE_DIRECTORY"].split(":")[0])
    base = environment.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    return Path(base) / "tinyprof" / "collector"


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """The configuration of a file (None: the defaults) and the environment over it. Raises BadConfig."""
    values: dict[str, Any] = {}
    if path is not None:
        values = _read(path)
        _convert(values, str(path))
    for variable, keys, kind in _variables():
        if variable in environment:
            _put(values, keys, _from_text(environment[variable], kind, variable))
    config = _convert(values, str(path) if path else "configuration")
    where = f"{path}: " if path else ""
    try:
        config.broker_address()
        config.listen_address()
    except BadConfig as why:
        raise BadConfig(f"{where}{why}") from None
    if not config.partitions or len(set(config.partitions)) != len(config.partitions):
        raise BadConfig(f"{where}partitions: name each of 0 to {PARTITIONS - 1} at most once, and at least one")
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as why:
        raise BadConfig(f"{path}: cannot be read: {why.strerror or why}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as why:
        raise BadConfig(f"{path}: is no TOML: {' '.join(str(why).split())}") from None


def _convert(values: dict[str, Any], where: str) -> Config:
    try:
        return msgspec.convert(values, Config)
    except msgspec.ValidationError as why:
        raise BadConfig(f"{where}: {_explain(str(why))}") from None


def _explain(why: str) -> str:
    """Puts the key first: msgspec says `Expected `int`, got `str` - at `$.ingest.max_batches``."""
    text, _, at = why.partition(" - at `$")
    text = re.sub(r"Expected `str` matching regex .*", f"Expected a name: {NAME_RULE}", text)
    key = at.rstrip("`").lstrip(".")
    unknown = re.search(r"unknown field `(.*)`", text)
    if unknown is not None:
        return f"{f'{key}.' if key else ''}{unknown[1]}: unknown key"
    return f"{key}: {text.replace('`', '')}" if key else text.replace("`", "")


def _variables() -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """Every variable that is honoured, its key and the key's type; the plain ones first."""
    named = dict(_keys_of(Config, ()))
    for variable, keys in PLAIN_VARIABLES.items():
        yield variable, keys, named[keys]
    for keys, kind in named.items():
        yield ENVIRONMENT_PREFIX + "_".join(keys).upper(), keys, kind


def _keys_of(struct: type, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, kind in get_type_hints(struct, include_extras=True).items():
        if isinstance(kind, type) and issubclass(kind, Struct):
            yield from _keys_of(kind, (*above, name))
        else:
            yield (*above, name), kind


def _from_text(text: str, kind: Any, variable: str) -> Any:
    """The value of a variable; a list is separated by commas. Raises BadConfig."""
    value: Any = text
    if get_origin(_plain(kind)) is list:
        value = [part.strip() for part in text.split(",") if part.strip()]
    elif get_origin(_plain(kind)) is Literal:
        value = text.lower()
    try:
        return msgspec.to_builtins(msgspec.convert(value, kind, strict=False))
    except msgspec.ValidationError as why:
        raise BadConfig(f"environment variable {variable}: {_explain(str(why))}") from None


def _plain(kind: Any) -> Any:
    return _plain(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def _put(values: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
    values[keys[-1]] = value

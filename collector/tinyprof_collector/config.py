"""The collector's configuration: one TOML file, each key also from the environment, checked before anything starts."""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta, Struct, field

from tinyprof_collector.inbox import MAX_BYTES, MAX_MESSAGES, MAX_OF_ONE_AGENT
from tinyprof_protocol import configuration
from tinyprof_protocol.bounds import MetricKey
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.names import PARTITIONS, Name
from tinyprof_protocol.presence import SPARK_POINTS
from tinyprof_protocol.service_config import ServiceConfig

PLAIN_VARIABLES: Final = {
    "LOG_LEVEL": ("log_level",),
    "MAX_WORKERS": ("replies", "workers"),
    "CACHE_SIZE": ("cache", "size"),
    "CACHE_TTL": ("cache", "ttl"),
}
"""Variables that are honoured without the prefix too; one with the prefix goes before them."""

Positive = Annotated[int, Meta(ge=1, le=1_000_000)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Ratio = Annotated[float, Meta(gt=0, le=1)]


class SqliteConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The embedded store. An empty `path` is `store.sqlite` in the state directory."""

    path: str = ""
    retention_days: Annotated[float, Meta(gt=0, le=36_500)] = 30.0


Details = Literal["rest", "whole", "none"]
"""What the fields do not say, the record's own bytes, or nothing."""


class InfluxConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An InfluxDB 1.8+, 2.x or 3. What it shows of itself holds no secret."""

    url: str = ""
    org: str = ""
    """2.x alone has organisations."""
    bucket: str = "tinyprof"
    """On 1.x and 3 the database; `database/policy` for another than the default retention policy of 1.x."""
    token: str = ""
    token_file: str = ""
    username: str = ""
    password: str = ""
    """User and password are those of a 1.x."""
    ca_file: str = ""
    retention_days: Annotated[float, Meta(ge=0, le=36_500)] = 30.0
    """What `tinyprof collector setup` gives the bucket; 0 keeps for ever."""
    max_lines: Annotated[int, Meta(ge=1, le=100_000)] = 5000
    max_wait_s: Annotated[float, Meta(ge=0, le=10)] = 1.0
    """How long records are gathered for a post at most."""
    timeout_s: Annotated[float, Meta(ge=0.1, le=300)] = 10.0
    posts_at_once: Annotated[int, Meta(ge=1, le=16)] = 2
    gzip: Literal["auto", "on", "off"] = "auto"
    """Whether posts are compressed; `auto`: unless the server is on this machine."""
    details: Details = "rest"
    """What a line holds beside the fields to ask for, so that records can be read back."""

    def __post_init__(self) -> None:
        """Raises ValueError for a URL that is none, and for secrets in two places."""
        if not self.url:
            return
        scheme, found, rest = self.url.partition("://")
        if scheme not in ("http", "https") or not found or not rest:
            raise ValueError("url: not http://host:port or https://host:port")
        if "@" in rest or "?" in rest:
            raise ValueError("url: put the user, the password and the token in keys of their own")
        if sum(map(bool, (self.token, self.token_file, self.username))) > 1:
            raise ValueError("token: give one of token, token_file, and username with password")

    def __repr__(self) -> str:
        return f"InfluxConfig(url={self.url!r}, org={self.org!r}, bucket={self.bucket!r})"


StoreName = Literal["sqlite", "influxdb"]


class StoreConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where records go; a record is stored when every store has it."""

    use: Annotated[list[StoreName], Meta(min_length=1, max_length=2)] = field(default_factory=lambda: ["sqlite"])
    """The first is the one that is read."""
    sqlite: SqliteConfig = SqliteConfig()
    influxdb: InfluxConfig = InfluxConfig()

    def __post_init__(self) -> None:
        """Raises ValueError for a store named twice, and for an InfluxDB without an address."""
        if len(set(self.use)) != len(self.use):
            raise ValueError("use: name each store once")
        if "influxdb" in self.use and not self.influxdb.url:
            raise ValueError("influxdb.url: where is it? for example http://127.0.0.1:8086")


class StateConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where what must survive a restart is kept. What it shows of itself holds no secret."""

    use: Literal["sqlite", "redis"] = "sqlite"
    """`sqlite`: a file of the state directory. `redis`: a server that several collectors share."""
    url: str = ""
    """redis://[[user]:password@]host[:port][/db], rediss:// for TLS, unix:///path."""
    url_file: str = ""
    """A file whose first line is the URL with its password; it goes before `url`."""
    ca_file: str = ""
    prefix: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.:-]{1,64}\Z")] = "tinyprof"
    """What the names of all keys there begin with: two fleets may share a server."""
    timeout_s: Annotated[float, Meta(ge=0.1, le=60)] = 3.0

    def __post_init__(self) -> None:
        """Raises ValueError for a Redis without an address, and for a URL that is none."""
        if self.use == "redis" and not self.url and not self.url_file:
            raise ValueError("url: where is it? for example redis://127.0.0.1:6379")
        if self.url and not self.url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("url: not redis://host:port, rediss://host:port or unix:///path")

    def __repr__(self) -> str:
        return f"StateConfig(use={self.use!r}, prefix={self.prefix!r})"


class IngestConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds between the broker and the stores; what is over them falls, is counted, and comes again."""

    batches_per_agent: Positive = MAX_OF_ONE_AGENT
    max_batches: Positive = MAX_MESSAGES
    max_bytes: Annotated[int, Meta(ge=1_048_576, le=2**40)] = MAX_BYTES
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

    def __post_init__(self) -> None:
        """Raises ValueError for an address that is none."""
        self.address()

    def address(self) -> tuple[str, int] | None:
        """Host and port, or None where nothing is served."""
        if not self.listen:
            return None
        host, colon, port = self.listen.rpartition(":")
        if not colon or not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"listen: {self.listen!r} is not host:port, such as 127.0.0.1:9464")
        return host.strip("[]"), int(port)


class RepliesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How requests of clients are answered."""

    workers: Annotated[int, Meta(ge=1, le=32)] = 1
    max_queued: Positive = 256
    max_jobs: Positive = 20_000


class CacheConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Results that answer an equal request without a run."""

    size: Annotated[int, Meta(ge=0, le=100_000)] = 1000
    """Entries, of at most 32 KiB each; 0 for no cache."""
    ttl: Annotated[float, Meta(ge=0, le=366 * 86_400)] = 3600.0
    """Seconds from its run on for which a result answers."""
    accept: Literal["valid", "unstable"] = "valid"
    """The least verdict that enters; an answer always says which it has."""


class RegressionsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Which changes of a board's figures are told."""

    enabled: bool = True
    metrics: Annotated[list[MetricKey], Meta(max_length=16)] = field(default_factory=list)
    """Those that are watched; empty for what all others follow from."""
    min_change: Annotated[float, Meta(ge=0.01, le=1)] = 0.05
    """The smallest change worth telling, as a share."""
    accept: Literal["valid", "unstable"] = "valid"
    """The least verdict of runs that are looked at."""
    stands_days: Annotated[float, Meta(gt=0, le=3650)] = 7.0
    """A change that has stood for so long is the new normal."""

    def __post_init__(self) -> None:
        """Raises ValueError for a metric that is none."""
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown:
            near = difflib.get_close_matches(unknown[0], METRICS, 1, 0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"metrics: no metric is called {unknown[0]!r}{hint}")


class AlertsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where it is told what turns critical or regresses; nowhere without a `url`."""

    url: str = ""
    """Takes a POST of JSON."""
    token_file: str = ""
    """A file whose first line is sent as bearer token."""
    ca_file: str = ""
    hold_s: Annotated[float, Meta(ge=0, le=86_400)] = 30.0
    """How long something must be critical, or no longer be, before it is told."""
    timeout_s: Annotated[float, Meta(ge=0.1, le=60)] = 10.0
    attempts: Annotated[int, Meta(ge=1, le=20)] = 8
    """How often an alert is sent at most, with rising delays, before it is dropped and counted."""

    def __post_init__(self) -> None:
        """Raises ValueError for a URL that is none."""
        if self.url and not re.match(r"https?://[^/\s]", self.url):
            raise ValueError("url: not http://host/path or https://host/path")
        if "@" in self.url.partition("://")[2].split("/")[0]:
            raise ValueError("url: no user and password there; put a token in a file and name it in token_file")

    def __repr__(self) -> str:
        return f"AlertsConfig(url={'set' if self.url else 'none'})"


class Config(ServiceConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A collector's whole configuration."""

    role: ClassVar[str] = "collector"

    id: Name = "main"
    partitions: Annotated[list[Annotated[int, Meta(ge=0, lt=PARTITIONS)]], Meta(max_length=PARTITIONS)] = field(
        default_factory=lambda: list(range(PARTITIONS))
    )
    status_interval_s: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0
    stop_timeout_s: Seconds = 10.0
    store: StoreConfig = StoreConfig()
    state: StateConfig = StateConfig()
    ingest: IngestConfig = IngestConfig()
    health: HealthConfig = HealthConfig()
    endpoints: EndpointsConfig = EndpointsConfig()
    replies: RepliesConfig = RepliesConfig()
    cache: CacheConfig = CacheConfig()
    regressions: RegressionsConfig = RegressionsConfig()
    alerts: AlertsConfig = AlertsConfig()

    def __post_init__(self) -> None:
        """Raises ValueError for partitions that are none or named twice, and for what no service may have."""
        super().__post_init__()
        if not self.partitions or len(set(self.partitions)) != len(self.partitions):
            raise ValueError(f"partitions: name each of 0 to {PARTITIONS - 1} at most once, and at least one")
        if self.state.use == "redis" and "sqlite" in self.store.use:
            raise ValueError(
                "store.use: the sqlite store is a file of one collector; with state.use = 'redis' take ['influxdb']"
            )


def load_config(path: Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration of a file (None: the defaults) with the environment over it. Raises BadConfig."""
    return configuration.load(Config, path, environment, PLAIN_VARIABLES)

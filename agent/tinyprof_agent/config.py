"""The agent's configuration: one TOML file, each key also from the environment, checked before anything starts."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from tinyprof_agent.boards import BoardConfig
from tinyprof_agent.clock import Trust
from tinyprof_agent.identity import default_agent_name
from tinyprof_protocol.bounds import Line
from tinyprof_protocol.broker_address import DEFAULT_URL, BadAddress, BrokerAddress, parse_broker
from tinyprof_protocol.names import Name, node_name

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
MIB: Final = 1024 * 1024
_PREFIX: Final = "TINYPROF_"
_PLAIN: Final = {"LOG_LEVEL": "log_level", "MAX_WORKERS": "max_workers"}
"""Variables that are honoured without the prefix too."""


class BadConfig(ValueError):
    """A configuration that cannot be used; the message names the file and the key, in one line."""


class SpoolConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[spool]`. `cap_bytes`: what the spool holds at most before it gives up the oldest samples."""

    cap_bytes: Annotated[int, Meta(ge=MIB, le=1 << 40)] = 64 * MIB


class ClockConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[clock]`. `trust`: `auto` asks the kernel whether its clock is synchronised, `always` takes it as it is."""

    trust: Trust = "auto"


class UplinkConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[uplink]`. `ca_file`: the authority of a `mqtts://` broker. Times in seconds."""

    ca_file: str | None = None
    keepalive_s: Annotated[int, Meta(ge=5, le=600)] = 30
    status_every_s: Annotated[float, Meta(ge=1, le=300)] = 10.0


class AgentConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. `state_dir` None: /var/lib/tinyprof/agent for root, else below the XDG state folder."""

    site: Name = "local"
    agent: Name = msgspec.field(default_factory=default_agent_name)
    broker: Line = DEFAULT_URL
    state_dir: str | None = None
    log_level: LogLevel = "INFO"
    max_workers: Annotated[int, Meta(ge=0, le=256)] = 0
    """How many boards may measure at the same time; 0: as many as their processors allow."""
    host_sample_every_s: Annotated[float, Meta(ge=0, le=86400)] = 30.0
    """How often the agent's own machine is read; 0: never."""
    spool: SpoolConfig = SpoolConfig()
    clock: ClockConfig = ClockConfig()
    uplink: UplinkConfig = UplinkConfig()
    boards: Annotated[list[BoardConfig], Meta(max_length=256)] = []

    @property
    def node(self) -> str:
        """`site.agent`."""
        return node_name(self.site, self.agent)

    def address(self) -> BrokerAddress:
        """Where the broker is. Raises BadAddress."""
        return parse_broker(self.broker, ca_file=Path(self.uplink.ca_file) if self.uplink.ca_file else None)

    def state_folder(self, environ: Mapping[str, str] = os.environ, *, is_root: bool | None = None) -> Path:
        """Where the agent keeps what must survive it: `state_dir`, or the place that the machine has for it."""
        if self.state_dir:
            return Path(self.state_dir).expanduser()
        if os.geteuid() == 0 if is_root is None else is_root:
            return Path("/var/lib/tinyprof/agent")
        base = environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        return Path(base) / "tinyprof" / "agent"


def load_config(path: Path | None, environ: Mapping[str, str] = os.environ) -> AgentConfig:
    """The configuration of a file (None: only defaults) with the environment over it. Raises BadConfig."""
    source = "the environment" if path is None else str(path)
    try:
        text = "" if path is None else path.read_text(encoding="utf-8")
    except OSError as why:
        raise BadConfig(f"{source}: {why.strerror}: give the configuration with --config FILE") from None
    except UnicodeDecodeError:
        raise BadConfig(f"{source}: is not UTF-8 text") from None
    return parse_config(text, source, environ)


def parse_config(text: str, source: str, environ: Mapping[str, str]) -> AgentConfig:
    """The configuration in a TOML file's text. `source` names it in errors. Raises BadConfig."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise BadConfig(f"{source}: {why}") from None
    config = _convert(tables, source)
    overrides = _from_environment(environ)
    for (section, key), (variable, value) in overrides.items():
        tables = _with(tables, section, key, _typed(section, key, value, variable))
        config = _convert(tables, variable)
    _check(config, source)
    return config


def _check(config: AgentConfig, source: str) -> None:
    names = [board.name for board in config.boards]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadConfig(f"{source}: boards: two are called {twice[0]!r}; a board's name is its identity")
    try:
        config.address()
    except BadAddress as why:
        raise BadConfig(f"{source}: broker: {why}") from None


def _convert(tables: Any, source: str) -> AgentConfig:
    try:
        return msgspec.convert(tables, AgentConfig)
    except msgspec.ValidationError as why:
        raise BadConfig(f"{source}: {_named(str(why))}") from None


def _named(message: str) -> str:
    """msgspec says where an error lies after the text, as `$.spool.cap_bytes`; a reader wants the key first."""
    what, separator, place = " ".join(message.split()).partition(" - at `$")
    key = place.rstrip("`").lstrip(".")
    return f"{key}: {what}" if separator and key else what


def _from_environment(environ: Mapping[str, str]) -> dict[tuple[str, str], tuple[str, str]]:
    """From (section, key) to the variable that sets it and its value; the variable with the prefix wins."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for variable, key in _PLAIN.items():
        if environ.get(variable):
            found["", key] = (variable, environ[variable])
    for section, key in _keys():
        variable = _PREFIX + "_".join(word for word in (section, key) if word).upper()
        if environ.get(variable):
            found[section, key] = (variable, environ[variable])
    return found


def _keys() -> list[tuple[str, str]]:
    keys: list[tuple[str, str]] = []
    for name, kind in _SECTIONS.items():
        keys += [(name, key) for key in kind.__struct_fields__]
    return keys + [("", key) for key in AgentConfig.__struct_fields__ if key not in _SECTIONS and key != "boards"]


_SECTIONS: Final[dict[str, type[Struct]]] = {"spool": SpoolConfig, "clock": ClockConfig, "uplink": UplinkConfig}


def _typed(section: str, key: str, value: str, variable: str) -> Any:
    """A variable's text as the type of its key."""
    kind = _SECTIONS[section] if section else AgentConfig
    value = value.upper() if key == "log_level" else value
    try:
        return getattr(msgspec.convert({key: value}, kind, strict=False), key)
    except msgspec.ValidationError as why:
        raise BadConfig(f"{variable}: {_named(str(why))}") from None


def _with(tables: dict[str, Any], section: str, key: str, value: Any) -> dict[str, Any]:
    if not section:
        return {**tables, key: value}
    return {**tables, section: {**tables.get(section, {}), key: value}}

"""The agent's configuration: one TOML file, each key also from the environment, checked before anything starts."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta, Struct

from tinyprof_agent.boards import BoardConfig
from tinyprof_agent.clock import Trust
from tinyprof_agent.identity import default_agent_name
from tinyprof_protocol import configuration
from tinyprof_protocol.names import Name, node_name
from tinyprof_protocol.service_config import ServiceConfig

MIB: Final = 1024 * 1024
PLAIN_VARIABLES: Final = {"LOG_LEVEL": ("log_level",), "MAX_WORKERS": ("max_workers",)}
"""Variables that are honoured without the prefix too; one with the prefix goes before them."""


FileName = Annotated[str, Meta(min_length=1, max_length=4096)]


class SpoolConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[spool]`. `cap_bytes`: what the spool holds at most before it gives up the oldest samples."""

    cap_bytes: Annotated[int, Meta(ge=MIB, le=1 << 40)] = 64 * MIB


class ClockConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[clock]`. `trust`: `auto` asks the kernel whether its clock is synchronised, `always` takes it as it is."""

    trust: Trust = "auto"


class UplinkConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """`[uplink]`. Times in seconds."""

    keepalive_s: Annotated[int, Meta(ge=5, le=600)] = 30
    status_every_s: Annotated[float, Meta(ge=1, le=300)] = 10.0


class AgentConfig(ServiceConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    role: ClassVar[str] = "agent"

    site: Name = "local"
    agent: Name = msgspec.field(default_factory=default_agent_name)
    max_workers: Annotated[int, Meta(ge=0, le=256)] = 0
    """How many boards may measure at the same time; 0: as many as their processors allow."""
    finish_s: Annotated[float, Meta(ge=0, le=600)] = 5.0
    """How long a stop waits for runs of jobs; then it aborts them, and they run after the next start."""
    host_sample_every_s: Annotated[float, Meta(ge=0, le=86400)] = 30.0
    """How often the agent's own machine is read; 0: never."""
    golden_files: Annotated[list[FileName], Meta(max_length=64)] = msgspec.field(default_factory=list)
    """What models of one's own must say, as `tinyprof golden` writes it."""
    model_files: Annotated[list[FileName], Meta(max_length=64)] = msgspec.field(default_factory=list)
    """GGUF files of models that boards run: their headers tell how fast a board can be at best."""
    suite_files: Annotated[list[FileName], Meta(max_length=32)] = msgspec.field(default_factory=list)
    """Suites of one's own, a TOML file each, called as the file is."""
    spool: SpoolConfig = SpoolConfig()
    clock: ClockConfig = ClockConfig()
    uplink: UplinkConfig = UplinkConfig()
    boards: Annotated[list[BoardConfig], Meta(max_length=256)] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        """Raises ValueError for two boards of one name, and for what no service may have."""
        super().__post_init__()
        names = [board.name for board in self.boards]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"boards: two are called {twice[0]!r}; a board's name is its identity")

    @property
    def node(self) -> str:
        """`site.agent`."""
        return node_name(self.site, self.agent)


def load_config(path: Path | None, environment: Mapping[str, str] = os.environ) -> AgentConfig:
    """The configuration of a file (None: the defaults) with the environment over it. Raises BadConfig."""
    return configuration.load(AgentConfig, path, environment, PLAIN_VARIABLES)

"""What the configurations of all services have: where the broker is, where state lies, what is logged."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from msgspec import Struct

from tinyprof_protocol.bounds import Line
from tinyprof_protocol.broker_address import DEFAULT_URL, BrokerAddress, parse_broker, read_broker_file

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class ServiceConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys that services share; a role's own configuration extends it and names the `role`."""

    role: ClassVar[str]

    broker: Line = DEFAULT_URL
    broker_ca_file: str = ""
    """The certificates that a `mqtts://` broker is checked against; empty: the system's."""
    broker_file: str = ""
    """A file whose first line is the broker's address, with its password; it goes before `broker`."""
    state_dir: str = ""
    """Empty: $STATE_DIRECTORY, else /var/lib/tinyprof/ROLE for root, else tinyprof/ROLE in $XDG_STATE_HOME."""
    log_level: LogLevel = "INFO"

    def __post_init__(self) -> None:
        """Raises ValueError for a broker whose address is none."""
        try:
            self.broker_address()
        except ValueError as why:
            raise ValueError(f"{'broker_file' if self.broker_file else 'broker'}: {why}") from None

    def broker_address(self) -> BrokerAddress:
        """Where the broker is. Raises BadAddress."""
        ca_file = Path(self.broker_ca_file).expanduser() if self.broker_ca_file else None
        url = read_broker_file(Path(self.broker_file).expanduser()) if self.broker_file else self.broker
        return parse_broker(url, ca_file=ca_file)

    def state_folder(self, environment: Mapping[str, str] = os.environ, *, is_root: bool | None = None) -> Path:
        """Where the service keeps what must survive it: `state_dir`, or the place that the machine has for it.

        systemd sets $STATE_DIRECTORY, to a list separated by colons; the first is taken.
        """
        if self.state_dir:
            return Path(self.state_dir).expanduser()
        if environment.get("STATE_DIRECTORY"):
            return Path(environment["STATE_DIRECTORY"].split(":")[0])
        if os.geteuid() == 0 if is_root is None else is_root:
            return Path("/var/lib/tinyprof") / self.role
        base = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        return Path(base) / "tinyprof" / self.role

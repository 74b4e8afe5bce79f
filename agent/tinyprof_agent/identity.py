"""What an agent is called where its configuration does not say, and which version it runs."""

import re
import socket
from importlib import metadata


def default_agent_name(hostname: str | None = None) -> str:
    """The machine's name made to fit the rule for names; `agent` where nothing of it is left."""
    first = (socket.gethostname() if hostname is None else hostname).split(".")[0]
    return re.sub(r"[^a-z0-9-]+", "-", first.lower()).strip("-")[:63] or "agent"


def version() -> str:
    """The version of tinyprof that is installed; `unknown` from a bare source tree."""
    try:
        return metadata.version("tinyprof")[:64]
    except metadata.PackageNotFoundError:
        return "unknown"

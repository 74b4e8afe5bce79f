"""Names of sites, agents, boards and nodes, and the partition that a node falls into."""

import re
import zlib
from typing import Annotated

from msgspec import Meta

NAME_RULE = "1 to 63 of a-z, 0-9 and '-', not starting with '-'"
PARTITIONS = 16

_NAME = r"[a-z0-9][a-z0-9-]{0,62}"
_IS_NAME = re.compile(_NAME)
_IS_NODE = re.compile(rf"{_NAME}\.{_NAME}")

Name = Annotated[str, Meta(pattern=rf"\A{_NAME}\Z", max_length=63)]
"""A site, an agent, a board or a collector."""

NodeName = Annotated[str, Meta(pattern=rf"\A{_NAME}\.{_NAME}\Z", max_length=127)]
"""`site.agent`: one topic level, and the agent's MQTT client id and user name."""


class BadName(ValueError):
    """A name that breaks the rule; the message says which and how."""


def check_name(what: str, name: str) -> str:
    """Returns `name` if it may name a `what` (a site, an agent, a board, a collector).

    Raises BadName with a line that says what is wrong.
    """
    if _IS_NAME.fullmatch(name) is None:
        raise BadName(f"{what} {name!r} is not a name: {NAME_RULE}")
    return name


def is_node(text: str) -> bool:
    """Whether `text` has the form `site.agent`."""
    return _IS_NODE.fullmatch(text) is not None


def node_name(site: str, agent: str) -> str:
    """The node of an agent at a site. Raises BadName."""
    return f"{check_name('site', site)}.{check_name('agent', agent)}"


def split_node(node: str) -> tuple[str, str]:
    """The site and the agent of a node. Raises BadName."""
    if not is_node(node):
        raise BadName(f"{node!r} is not a node: site.agent, each {NAME_RULE}")
    site, agent = node.split(".")
    return site, agent


def partition_of(node: str) -> int:
    """crc32 of the node's ASCII bytes mod 16: which collector a node belongs to."""
    return zlib.crc32(node.encode("ascii")) % PARTITIONS

"""tinyprof: profiles tiny language models on edge boards, all the time and across sites."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyprof.fleet import Fleet

__version__ = "0.1.0"
__all__ = ["__version__", "connect"]


def connect(broker: str | None = None) -> "Fleet":
    """A fleet to ask, as a context manager: `with tinyprof.connect("mqtt://host:1883") as fleet: ...`.

    Without `broker`: that of TINYPROF_BROKER, else the local one. Raises BadAddress; entering it raises FleetError
    where the broker does not answer.
    """
    from tinyprof.fleet import Fleet
    from tinyprof_protocol.broker_address import broker_from

    return Fleet(broker_from(broker))

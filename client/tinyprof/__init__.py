"""tinyprof: profiles tiny language models on edge boards, all the time and across sites."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyprof.board_names import UnknownBoard
    from tinyprof.fleet import Fleet
    from tinyprof.fleet_errors import BadArgument, FleetError
    from tinyprof.job_handle import JobFailed, JobTimeout
    from tinyprof.metric_names import UnknownMetric
    from tinyprof.request_channel import BrokerUnreachable, CollectorSilent, NoCollector
    from tinyprof_protocol.broker_address import BadAddress
    from tinyprof_protocol.request_reply import RequestFailed

__version__ = "0.1.0"
__all__ = [
    "BadAddress",
    "BadArgument",
    "BrokerUnreachable",
    "CollectorSilent",
    "FleetError",
    "JobFailed",
    "JobTimeout",
    "NoCollector",
    "RequestFailed",
    "UnknownBoard",
    "UnknownMetric",
    "__version__",
    "connect",
]

_ERRORS = {
    "BadAddress": "tinyprof_protocol.broker_address",
    "BadArgument": "tinyprof.fleet_errors",
    "BrokerUnreachable": "tinyprof.request_channel",
    "CollectorSilent": "tinyprof.request_channel",
    "FleetError": "tinyprof.fleet_errors",
    "JobFailed": "tinyprof.job_handle",
    "JobTimeout": "tinyprof.job_handle",
    "NoCollector": "tinyprof.request_channel",
    "RequestFailed": "tinyprof_protocol.request_reply",
    "UnknownBoard": "tinyprof.board_names",
    "UnknownMetric": "tinyprof.metric_names",
}
"""Where each error is; loaded when it is asked for, so that an agent does not load a client."""


def __getattr__(name: str) -> type[Exception]:
    """The errors of a fleet. Raises AttributeError for any other name."""
    if name not in _ERRORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: type[Exception] = getattr(importlib.import_module(_ERRORS[name]), name)
    return found


def connect(broker: str | None = None) -> "Fleet":
    """A fleet to ask, as a context manager: `with tinyprof.connect("mqtt://host:1883") as fleet: ...`.

    Without `broker`: that of TINYPROF_BROKER, else the local one. Raises BadAddress; entering it raises FleetError
    where the broker does not answer.
    """
    from tinyprof.fleet import Fleet
    from tinyprof_protocol.broker_address import broker_from

    return Fleet(broker_from(broker))

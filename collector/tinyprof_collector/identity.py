"""Who a collector is: its version, and the word that it leaves behind when it goes."""

from importlib.metadata import PackageNotFoundError, version

from tinyprof_collector.config import Config
from tinyprof_protocol.presence import CollectorStatus


def package_version() -> str:
    """The installed version of tinyprof, empty where it is not installed."""
    try:
        return version("tinyprof")
    except PackageNotFoundError:
        return ""


def offline_status(config: Config, started_ns: int) -> CollectorStatus:
    """What a collector says last, and its broker for it where it cannot. `started_ns` is since 1970."""
    return CollectorStatus(
        id=config.id,
        state="offline",
        version=package_version(),
        started_ns=started_ns,
        interval_s=config.status_interval_s,
        partitions=sorted(config.partitions),
    )

"""A change of a board's level as a line of InfluxDB: measurement `tinyprof_regression`, at the new level's first run.

Series and time of a change never change, so that one that is written again overwrites itself. Pure.
"""

from typing import Final

from tinyprof_collector.stores.influx.line_protocol import MAX_TIME_NS, MIN_TIME_NS, string_field, tag_value
from tinyprof_protocol.presence import Regression

MEASUREMENT: Final = "tinyprof_regression"


def regression_line(found: Regression) -> bytes:
    """The change as a line."""
    site, _, agent = found.node.partition(".")
    tags = {"agent": agent, "board": found.board, "metric": found.metric, "site": site, "suite": found.suite}
    shown = ((name, tag_value(text)) for name, text in sorted(tags.items()))
    head = ",".join((MEASUREMENT, *(f"{name}={value}" for name, value in shown if value)))
    fields = (
        f"after={found.after!r},before={found.before!r},change={found.change!r},found_ns={found.found_ns}i,"
        f"new_build={string_field(found.new_build)},series={string_field(found.series)},"
        f"worse={'true' if found.worse else 'false'}"
    )
    return f"{head} {fields} {min(max(found.since_ns, MIN_TIME_NS), MAX_TIME_NS)}".encode()

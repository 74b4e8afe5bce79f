"""A site whose store is a real InfluxDB."""

from collections.abc import Iterator
from pathlib import Path

from conservation import Site
from influxd import TOKEN, Influxd

from tinyprof_collector.stores.influx.detail import record_in
from tinyprof_collector.stores.influx.line_protocol import MEASUREMENTS
from tinyprof_collector.stores.influx.server import InfluxServer
from tinyprof_protocol.records import Record


def records_in(database: InfluxServer) -> Iterator[tuple[str, int, Record]]:
    """Every record in a database, with its epoch and seq; one that is being written is not there yet."""
    [answer] = database.query(f"SELECT * FROM {', '.join(MEASUREMENTS)}")
    for rows in answer:
        for row in rows.dicts():
            record = record_in(row)
            if record is not None and row["epoch"] is not None:
                yield row["epoch"], row["seq"], record


class InfluxSite(Site):
    """A site whose judge reads the database."""

    def __init__(self, folder: Path, broker, database: Influxd, use: str = '"influxdb"', **more: str) -> None:
        toml = f"""
[store]
use = [{use}]
[store.influxdb]
url = "{database.url}"
org = "{database.config().org}"
ca_file = "{database.config().ca_file}"
token_file = "{folder / "token"}"
max_wait_s = 0.05
timeout_s = 5.0
"""
        self.token = folder / "token"
        self.token.write_text(TOKEN + "\n")
        super().__init__(folder, broker, collector_toml=toml, **more)
        self.database = InfluxServer(database.config())

    def stored(self) -> Iterator[tuple[str, int, Record]]:
        """Every record in the database."""
        return records_in(self.database)

    def stored_count(self) -> int:
        return sum(1 for _ in self.stored())

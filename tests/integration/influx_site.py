"""A site whose store is a real InfluxDB."""

from collections.abc import Iterator
from pathlib import Path

from conservation import Site
from influxd import TOKEN, Influxd

from tinyprof_collector.stores.influx.line_protocol import MEASUREMENTS, record_bytes
from tinyprof_collector.stores.influx.server import InfluxServer
from tinyprof_protocol.codec import unpack
from tinyprof_protocol.records import Record


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
        [answer] = self.database.query(f"SELECT epoch, seq, record FROM {', '.join(MEASUREMENTS)}")
        for rows in answer:
            for row in rows.dicts():
                yield row["epoch"], row["seq"], unpack(record_bytes(row["record"]), Record)

    def stored_count(self) -> int:
        return sum(1 for _ in self.stored())

"""The HTTP side of an InfluxDB server: posts lines, asks InfluxQL. The only place that knows the token.

It goes through influxdb-client's HTTP client (connections kept, TLS, time limits); batching and retries are not its.
"""

import contextlib
import datetime as dt
import ipaddress
import json
import ssl
import traceback
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException

from tinyprof_collector.config import InfluxConfig
from tinyprof_collector.stores.influx.answers import MAX_BODY, HttpAnswer, hold_line, retry_after_s
from tinyprof_collector.stores.store import StoreFailed

GZIP_FROM_BYTES = 512


@dataclass(frozen=True, slots=True)
class Rows:
    """One series of an InfluxQL answer: the measurement, its tags (where grouped), columns and rows."""

    name: str
    tags: dict[str, str]
    columns: list[str]
    values: list[list[Any]]

    def dicts(self) -> list[dict[str, Any]]:
        """Each row by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.values]


class InfluxServer:
    """One server and bucket. Its methods may be called from any thread."""

    def __init__(self, config: InfluxConfig) -> None:
        """Opens nothing yet. Raises StoreFailed where the token's file or that of the certificates cannot be read."""
        _check_certificates(config.ca_file)
        self.config = config
        self._timeout_ms = int(config.timeout_s * 1000)
        client = InfluxDBClient(
            url=config.url, token="", timeout=self._timeout_ms, ssl_ca_cert=config.ca_file or None, retries=False,
            connection_pool_maxsize=config.posts_at_once + 4,
        )  # fmt: skip
        self._client = client
        self._api: Any = client.api_client
        self._authorization = _authorization(config)
        self._packs = config.gzip == "on" or (config.gzip == "auto" and not is_local(config.url))

    def __repr__(self) -> str:
        return f"InfluxServer({self.config.url}, {self.config.bucket})"

    @property
    def database(self) -> str:
        """What `/query` calls the bucket; `db/rp` is a database and its retention policy."""
        return self.config.bucket.partition("/")[0]

    def write(self, lines: Sequence[bytes]) -> HttpAnswer:
        """Posts lines; what came back, whatever it is."""
        body = b"\n".join(lines)
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if self._packs and len(body) >= GZIP_FROM_BYTES:
            packer = zlib.compressobj(1, wbits=31)
            body = packer.compress(body) + packer.flush()
            headers["Content-Encoding"] = "gzip"
        query = {"org": self.config.org, "bucket": self.config.bucket, "precision": "ns"}
        return self.request("POST", "/api/v2/write", query, headers, body)

    def query(self, influxql: str) -> list[list[Rows]]:
        """The answers to InfluxQL statements, one list of series each. Raises StoreFailed."""
        query = {"db": self.database, "epoch": "ns", "q": influxql}
        answer = self.request("POST", "/query", query, {"Accept": "application/json"}, b"", keep_body=True)
        if answer.status != 200:
            raise self.failed(answer)
        try:
            results = json.loads(answer.body)["results"]
            return [[_rows(one) for one in self._checked(result).get("series", ())] for result in results]
        except (ValueError, KeyError, TypeError) as why:
            raise StoreFailed(f"store influxdb {self.config.url}: its answer cannot be read: {why!r}"[:300]) from None

    def request(
        self, method: str, path: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None,
        body: object = None, *, keep_body: bool = False,
    ) -> HttpAnswer:  # fmt: skip
        """Any request; a JSON one has an object for its body. Status 0 where no answer came."""
        sent = {"Content-Type": "text/plain; charset=utf-8", **(headers or {}), **self._authorization}
        given = {name: value for name, value in (query or {}).items() if value}
        url = f"{self.config.url.rstrip('/')}{path}"
        try:
            reply = self._api.request(
                method, url, query_params=given, headers=sent, body=body, _request_timeout=self._timeout_ms
            )
        except ApiException as why:
            if why.status in (401, 403):
                self._read_token_again()
            wish = why.headers.get("Retry-After", "") if why.headers else ""
            return HttpAnswer(why.status or 0, _text(why.body or why.reason), wish)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as why:
            said = _why(why)
            _clear(why)
            return HttpAnswer(0, said)
        return HttpAnswer(reply.status, reply.data if keep_body else _text(reply.data))

    def failed(self, answer: HttpAnswer) -> StoreFailed:
        """The error that an answer is, with the server's own wish when to come again."""
        line = hold_line(answer, self.config.url, self.config.bucket, self.config.org)
        return StoreFailed(line[:300], retry_after_s(answer, dt.datetime.now(dt.UTC)))

    def close(self) -> None:
        """Lets go of the connections."""
        self._api.rest_client.pool_manager.clear()

    def _read_token_again(self) -> None:
        """A token that was changed in its file is taken up without a new start."""
        with contextlib.suppress(StoreFailed):
            self._authorization = _authorization(self.config)

    def _checked(self, result: dict[str, Any]) -> dict[str, Any]:
        if "error" in result:
            said = " ".join(str(result["error"]).split())
            if said.startswith("database not found"):
                raise self.failed(HttpAnswer(404, said))
            raise StoreFailed(f"store influxdb {self.config.url}: {said}"[:300])
        return result


def _check_certificates(ca_file: str) -> None:
    """The client would say of a file that it cannot use no more than that there is none."""
    if not ca_file:
        return
    try:
        ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise StoreFailed(f"store influxdb: ca_file {ca_file}: there are no certificates in it") from None
    except OSError as why:
        raise StoreFailed(f"store influxdb: ca_file {ca_file}: {why.strerror}") from None


def is_local(url: str) -> bool:
    """Whether an address is this machine's own: gzip would only cost there."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _rows(series: dict[str, Any]) -> Rows:
    return Rows(series.get("name", ""), series.get("tags") or {}, series["columns"], series.get("values") or [])


def _authorization(config: InfluxConfig) -> dict[str, str]:
    secret = _secret(config)
    return {"Authorization": f"Token {secret}"} if secret else {}


def _secret(config: InfluxConfig) -> str:
    """The token; 1.x takes `user:password` in its place."""
    if config.token_file:
        try:
            return Path(config.token_file).expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as why:
            what = why.strerror if isinstance(why, OSError) else "it is no text"
            raise StoreFailed(f"store influxdb: token file {config.token_file}: {what}") from None
    return config.token or (f"{config.username}:{config.password}" if config.username else "")


def _text(body: object) -> str:
    return str(body or "")[:MAX_BODY]


def _why(why: BaseException) -> str:
    """The innermost reason in words that hold no object's address."""
    reason = getattr(why, "reason", None)
    text = str(reason if isinstance(reason, BaseException) else why)
    return " ".join(text.split(">: ", 1)[-1].split())[:200] or type(why).__name__


def _clear(why: BaseException) -> None:
    """Frees what the frames of a request that failed hold: urllib3 leaves them in a ring with their error, and in them
    the lines of a whole list, until the garbage collector comes by, which is seldom here.
    """
    link: BaseException | None = why
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__

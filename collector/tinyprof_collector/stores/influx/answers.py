"""What an HTTP answer to a write means. Pure.

204 alone says that all lines are written. 400 and 422 say that a line (or more) was refused: 2.7 writes nothing of a
post after 400 and all other lines after 422 `partial write`, 1.8 answers 400 for both. Source: InfluxDB 1.8, 2.7 and 3
API references, `/api/v2/write`; the texts were seen on 1.8.10 and 2.7.12.
"""

import datetime as dt
import email.utils
import json
import re
from dataclasses import dataclass
from typing import Literal

Meaning = Literal["written", "refused", "too_large", "hold"]
MAX_RETRY_AFTER_S = 300.0
MAX_REASON = 250
MAX_BODY = 4096
"""Characters of an answer that are looked at."""

_PAST_RETENTION = re.compile(r"retention policy", re.IGNORECASE)
_LOWER_BOUND = re.compile(r"Retention Policy Lower Bound at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer as it came; `status` 0 where none came, and then `body` says why."""

    status: int
    body: str = ""
    retry_after: str = ""


def meaning_of(answer: HttpAnswer) -> Meaning:
    """What became of a post. Whatever is not known to be about the lines holds them."""
    if answer.status == 204:
        return "written"
    if answer.status in (201, 400, 422):  # 201: InfluxDB 3 in a cluster, where a part of the lines was refused
        return "refused"
    return "too_large" if answer.status == 413 else "hold"


def reason_of(answer: HttpAnswer, most: int = MAX_REASON) -> str:
    """The server's own words, as one line of `most` characters at most."""
    text = answer.body
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if isinstance(told, dict):
        text = str(told.get("message") or told.get("error") or text)
    return " ".join(text.split())[:most] or f"HTTP {answer.status} without a word"


def retry_after_s(answer: HttpAnswer, now: dt.datetime) -> float | None:
    """The server's wish, in seconds up to five minutes; None without one. It may be a number or a date."""
    text = answer.retry_after.strip()
    if not text:
        return None
    try:
        wish = float(text)
    except ValueError:
        try:
            wish = (email.utils.parsedate_to_datetime(text) - now).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(wish, 0.0), MAX_RETRY_AFTER_S) if wish == wish else None


def is_past_retention(reason: str) -> bool:
    """Whether a refusal is about points that lie before what the bucket keeps."""
    return _PAST_RETENTION.search(reason) is not None


def oldest_kept_ns(reason: str) -> int | None:
    """The oldest time that the bucket keeps, where the refusal names it (2.x does), in ns since 1970."""
    found = _LOWER_BOUND.search(reason)
    if found is None:
        return None
    whole = dt.datetime.fromisoformat(f"{found[1]}+00:00")
    return int(whole.timestamp()) * 10**9 + int((found[2] or "0").ljust(9, "0"))


def _certificate_hint(said: str) -> str:
    """What to do about a certificate that is not accepted."""
    if "CERTIFICATE_VERIFY_FAILED" not in said:
        return ""
    if "mismatch" in said or "not valid for" in said:
        return "; use a name that is in the server's certificate"
    return "; name the certificate that signed the server's in store.influxdb.ca_file"


def hold_line(answer: HttpAnswer, url: str, bucket: str, org: str) -> str:
    """Why nothing is written now and what to do, as one line."""
    what = {
        401: "the token (or user and password) is not accepted",
        403: f"the token may not write to and read from bucket {bucket!r}",
        404: f"there is no bucket {bucket!r}" + (f" or no organisation {org!r}" if org else ""),
        429: "it takes no more for now",
    }.get(answer.status)
    said = reason_of(answer)
    if answer.status == 0:
        return f"store influxdb {url}: no answer: {said}{_certificate_hint(said)}"
    hint = "; `tinyprof collector setup` makes the bucket" if answer.status == 404 else ""
    return f"store influxdb {url}: {what or 'it cannot write now'}{hint} (HTTP {answer.status}: {said})"

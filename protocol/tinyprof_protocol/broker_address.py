"""Where the broker is and how to log in to it, from one URL."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

DEFAULT_URL = "mqtt://127.0.0.1:1883"
ENVIRONMENT_VARIABLE = "TINYPROF_BROKER"
FILE_VARIABLE = "TINYPROF_BROKER_FILE"
CA_FILE_VARIABLE = "TINYPROF_BROKER_CA_FILE"
MAX_FILE_BYTES = 4096


class BadAddress(ValueError):
    """A broker's address that cannot be used; the message says what it should look like."""


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker, with the credentials that its access list binds to a name. The password is never shown."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


def parse_broker(url: str, *, ca_file: Path | None = None) -> BrokerAddress:
    """`mqtt://[user[:password]@]host[:port]`, `mqtts://` for TLS, or `host:port`. Raises BadAddress."""
    split = urlsplit(url if "://" in url else f"mqtt://{url}")
    try:
        port = split.port
    except ValueError:
        port = -1
    if split.scheme not in ("mqtt", "mqtts") or not split.hostname or port in (-1, 0) or split.path not in ("", "/"):
        shown = url if "@" not in url else "..." + url[url.rindex("@") :]
        raise BadAddress(f"broker {shown!r} is no address: write mqtt://HOST:PORT, or mqtts://HOST:PORT for TLS")
    tls = split.scheme == "mqtts"
    return BrokerAddress(
        host=split.hostname,
        port=port or (8883 if tls else 1883),
        tls=tls,
        username=unquote(split.username) if split.username else None,
        password=unquote(split.password) if split.password else None,
        ca_file=ca_file,
    )


def read_broker_file(path: Path) -> str:
    """The broker's address in the first line of a file: its password is on no command line. Raises BadAddress."""
    try:
        with path.open("rb") as file:
            first = file.read(MAX_FILE_BYTES).split(b"\n", 1)[0].decode().strip()
    except (OSError, UnicodeDecodeError) as why:
        raise BadAddress(
            f"cannot read {path}: {why.strerror if isinstance(why, OSError) else 'it is no text'}"
        ) from None
    if not first:
        raise BadAddress(f"{path} is empty: its first line is the broker's address")
    return first


def broker_from(option: str | None, environment: Mapping[str, str] = os.environ) -> BrokerAddress:
    """The broker of `--broker`, else of TINYPROF_BROKER_FILE, of TINYPROF_BROKER, or the local one. Raises BadAddress.

    TINYPROF_BROKER_CA_FILE names the certificates that a `mqtts://` broker is checked against.
    """
    file, ca_file = environment.get(FILE_VARIABLE), environment.get(CA_FILE_VARIABLE)
    url = option or (read_broker_file(Path(file)) if file else environment.get(ENVIRONMENT_VARIABLE))
    return parse_broker(url or DEFAULT_URL, ca_file=Path(ca_file) if ca_file else None)

"""The one place where a Redis is connected to: its address, its limits, and what is said when it does not answer.

Whoever keeps something there takes its keys from `key`, its commands from `commands`, and asks within `answered`.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tinyprof_collector.config import StateConfig

if TYPE_CHECKING:
    from redis import Redis

MAX_CONNECTIONS = 8


class CannotUseRedis(Exception):
    """No Redis can be used with this configuration; one line that says what to do."""


class RedisLink:
    """Connections to one server, opened as they are needed. May be used from any thread."""

    def __init__(self, config: StateConfig) -> None:
        """Connects to nothing yet. Raises CannotUseRedis where the package or the address is missing or wrong."""
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ModuleNotFoundError as why:
            if (why.name or "").startswith("tinyprof"):
                raise
            line = f"Redis needs the package {why.name}: pip install 'tinyprof[redis]'"
            raise CannotUseRedis(line) from None
        url = _url_of(config)
        tls: dict[str, Any] = {"ssl_ca_certs": config.ca_file} if config.ca_file and url.startswith("rediss:") else {}
        self._prefix = config.prefix
        self.where = shown_address(url)
        """The address without user and password."""
        self._redis_error = redis.RedisError
        try:
            # Nothing is tried again down here: whoever asks holds, says so, and asks again later.
            self.commands: Redis = redis.Redis.from_url(
                url, socket_timeout=config.timeout_s, socket_connect_timeout=config.timeout_s,
                retry=Retry(NoBackoff(), 0), max_connections=MAX_CONNECTIONS, decode_responses=False, **tls,
            )  # fmt: skip
        except ValueError:
            raise CannotUseRedis(f"state.url: {self.where} is no address of a Redis") from None

    def key(self, *names: object) -> str:
        """The name of a key: everything of ours begins with the prefix."""
        return ":".join((self._prefix, *map(str, names)))

    @contextlib.contextmanager
    def answered(self, failed: Callable[[str], Exception]) -> Iterator[None]:
        """Raises `failed(line)` where the server does not do what is asked within the block."""
        try:
            yield
        except self._redis_error as why:
            raise failed(f"redis {self.where}: {_what(why)}") from None

    def close(self) -> None:
        """Closes all connections."""
        self.commands.close()
        self.commands.connection_pool.disconnect()


def shown_address(url: str) -> str:
    """An address without what must not be shown."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(an address that cannot be read)"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def _url_of(config: StateConfig) -> str:
    if not config.url_file:
        return config.url
    try:
        lines = Path(config.url_file).expanduser().read_text().splitlines()
    except (OSError, ValueError) as why:
        raise CannotUseRedis(f"state.url_file: {config.url_file} cannot be read: {why}") from None
    url = lines[0].strip() if lines else ""
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise CannotUseRedis(f"state.url_file: the first line of {config.url_file} is no redis:// address")
    return url


def _what(why: Exception) -> str:
    """An error in a line, with what to do where that is known."""
    text = " ".join(str(why).split())[:200] or type(why).__name__
    name = type(why).__name__
    if name in ("AuthenticationError", "NoPermissionError") or "NOAUTH" in text or "WRONGPASS" in text:
        return f"it does not accept us ({text}): check the user and the password in state.url"
    if name in ("ConnectionError", "TimeoutError"):
        return f"no answer ({text.rstrip('.')}); is it running, and is state.url right?"
    if name == "ReadOnlyError":
        return "it is a replica, which takes nothing: name the master in state.url"
    if name == "OutOfMemoryError" or text.startswith("OOM"):
        return f"it has no room ({text}): raise maxmemory; with an eviction policy it would forget what must be kept"
    return text

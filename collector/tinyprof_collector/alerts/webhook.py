"""The thread that sends alerts to a webhook: from a bounded queue, with time limits and rising delays.

Nothing waits for it. What cannot be delivered in `attempts` tries is dropped and counted. A redirect is not followed:
whoever answers there was not configured. Neither URL nor token is ever in a log or an error.
"""

import contextlib
import http.client
import logging
import queue
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final
from urllib.parse import urlsplit

from tinyprof_collector.config import AlertsConfig

log = logging.getLogger(__name__)

MAX_WAITING: Final = 1000
FIRST_DELAY_S: Final = 1.0
MAX_DELAY_S: Final = 300.0
JITTER: Final = 0.2
_CUT_AGAIN_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one try. `again` is false where it is of no use to try once more."""

    done: bool
    again: bool = True
    why: str = ""


def judge(status: int) -> Delivery:
    """What an answer says: 2xx is taken; 408, 425, 429 and 5xx are tried again; all else is refused for good."""
    if 200 <= status < 300:
        return Delivery(done=True)
    return Delivery(done=False, again=status in (408, 425, 429) or status >= 500, why=f"it answers HTTP {status}")


def delay_s(attempt: int, rng: Random) -> float:
    """How long to wait after so many failed tries: doubling to five minutes, with jitter."""
    return float(min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** (attempt - 1)) * (1 + JITTER * rng.uniform(-1, 1)))


class _Limit:
    """Cuts an exchange that takes too long as a whole: the limit of a socket begins anew with each byte that comes.

    Raises TimeoutError at its end then, whatever the exchange itself ended with.
    """

    def __init__(self, limit_s: float, connection: http.client.HTTPConnection) -> None:
        self._limit_s = limit_s
        self._connection = connection
        self._done = threading.Event()
        self._over = False

    def __enter__(self) -> None:
        threading.Thread(target=self._watch, name="webhook-limit", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._over:
            raise TimeoutError

    def _watch(self) -> None:
        self._over = not self._done.wait(self._limit_s)
        while not self._done.is_set():
            found = self._connection.sock  # None until it is connected
            if found is not None:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(found, socket.SHUT_RDWR)
            self._done.wait(_CUT_AGAIN_S)


class Webhook:
    """Sends payloads in turn."""

    def __init__(self, config: AlertsConfig, rng: Random, pause: Callable[[int, Random], float] = delay_s) -> None:
        """`pause` says how long to wait after a failed try."""
        self._config = config
        self._rng = rng
        self._pause = pause
        self._queue: queue.Queue[bytes | None] = queue.Queue(MAX_WAITING)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self.counts = {"alerts_sent": 0, "alerts_retried": 0, "alerts_dropped": 0, "alerts_over_bound": 0}

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def send(self, payload: bytes) -> None:
        """Queues a payload; it falls, and is counted, where too many wait."""
        try:
            self._queue.put_nowait(payload)
        except queue.Full:
            self.counts["alerts_over_bound"] += 1

    def stop(self, timeout_s: float) -> None:
        """Sends what it can of what waits, each once, within `timeout_s`."""
        self._stopping.set()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while (payload := self._queue.get()) is not None:
            try:
                self._deliver(payload)
            except Exception:
                self.counts["alerts_dropped"] += 1
                log.exception("an alert could not be sent")

    def _deliver(self, payload: bytes) -> None:
        for attempt in range(1, self._config.attempts + 1):
            outcome = self._post(payload)
            if outcome.done:
                self.counts["alerts_sent"] += 1
                return
            if not outcome.again or attempt == self._config.attempts or self._stopping.is_set():
                break
            log.info("the webhook of [alerts] has not taken an alert (%s); it is tried again", outcome.why)
            self.counts["alerts_retried"] += 1
            self._stopping.wait(self._pause(attempt, self._rng))
        self.counts["alerts_dropped"] += 1
        log.error("an alert was dropped after %d tries: %s; see [alerts] in the configuration", attempt, outcome.why)

    def _post(self, payload: bytes) -> Delivery:
        try:
            headers = {"Content-Type": "application/json", "User-Agent": "tinyprof", **self._authorization()}
            with contextlib.closing(self._connection()) as connection, _Limit(self._config.timeout_s, connection):
                connection.request("POST", self._path(), payload, headers)
                status = connection.getresponse().status
            return judge(status)
        except TimeoutError:
            return Delivery(done=False, why=f"no answer within {self._config.timeout_s:g} s")
        except (OSError, http.client.HTTPException, ValueError) as why:
            words = why.strerror if isinstance(why, OSError) and why.strerror else type(why).__name__
            return Delivery(done=False, why=str(words))

    def _connection(self) -> http.client.HTTPConnection:
        address = urlsplit(self._config.url)
        host, port, timeout = address.hostname or "", address.port, self._config.timeout_s
        if address.scheme == "https":
            context = ssl.create_default_context(cafile=self._config.ca_file or None)
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
        return http.client.HTTPConnection(host, port, timeout=timeout)

    def _path(self) -> str:
        address = urlsplit(self._config.url)
        return (address.path or "/") + (f"?{address.query}" if address.query else "")

    def _authorization(self) -> dict[str, str]:
        """Read anew each time, so that a token that was changed in its file is taken up."""
        if not self._config.token_file:
            return {}
        token = Path(self._config.token_file).expanduser().read_text("utf-8").split("\n", 1)[0].strip()
        return {"Authorization": f"Bearer {token}"}

"""The webhook against a real HTTP server that takes, refuses, fails, hangs, redirects; and over TLS."""

import contextlib
import http.server
import logging
import queue
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tinyprof_collector.alerts.webhook import MAX_WAITING, Webhook, delay_s, judge
from tinyprof_collector.config import AlertsConfig

WAIT_S = 20.0
SECRET = "not-a-secret-of-anyone"


class Receiver:
    """Answers each POST with the next of `answers`, the last one for ever; None: says nothing."""

    def __init__(self, *answers: int | None, context: ssl.SSLContext | None = None) -> None:
        self.got: queue.Queue[tuple[str, dict[str, str], bytes]] = queue.Queue()
        self.let_go = threading.Event()
        remaining = list(answers)
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.put((self.path, dict(self.headers), body))
                answer = remaining.pop(0) if len(remaining) > 1 else remaining[0]
                if answer is None:
                    receiver.let_go.wait(WAIT_S)
                    self.close_connection = True
                    return
                self.send_response(answer)
                if 300 <= answer < 400:
                    self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port: int = self.server.server_address[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}/hook?key={SECRET}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(WAIT_S)


@pytest.fixture
def receivers() -> Iterator[list[Receiver]]:
    made: list[Receiver] = []
    yield made
    for one in made:
        one.close()


def sender(url: str, **more: object) -> Webhook:
    webhook = Webhook(AlertsConfig(url=url, **more), Random(1), pause=lambda *_: 0.0)
    webhook.start()
    return webhook


def test_an_alert_arrives_as_it_was_given(receivers, tmp_path):
    receivers.append(Receiver(204))
    token = tmp_path / "token"
    token.write_text(f"{SECRET}\n")
    webhook = sender(receivers[0].url, token_file=str(token))
    webhook.send(b'{"event": "critical"}')
    path, headers, body = receivers[0].got.get(timeout=WAIT_S)
    webhook.stop(WAIT_S)
    assert (path, body) == (f"/hook?key={SECRET}", b'{"event": "critical"}')
    assert (headers["Content-Type"], headers["Authorization"]) == ("application/json", f"Bearer {SECRET}")
    assert webhook.counts["alerts_sent"] == 1


def test_a_server_that_fails_for_a_while_gets_it_in_the_end_and_in_order(receivers):
    receivers.append(Receiver(500, 429, 200))
    webhook = sender(receivers[0].url)
    webhook.send(b"first")
    webhook.send(b"second")
    bodies = [receivers[0].got.get(timeout=WAIT_S)[2] for _ in range(4)]
    webhook.stop(WAIT_S)
    assert bodies == [b"first", b"first", b"first", b"second"]
    assert (webhook.counts["alerts_sent"], webhook.counts["alerts_retried"]) == (2, 2)


def test_one_that_refuses_is_not_asked_again_and_nothing_secret_is_logged(receivers, caplog):
    caplog.set_level(logging.DEBUG)
    receivers.append(Receiver(403))
    webhook = sender(receivers[0].url)
    webhook.send(b"x")
    receivers[0].got.get(timeout=WAIT_S)
    webhook.stop(WAIT_S)
    assert webhook.counts["alerts_dropped"] == 1
    assert "HTTP 403" in caplog.text
    assert SECRET not in caplog.text


def test_a_redirect_is_not_followed(receivers):
    receivers.append(Receiver(302))
    webhook = sender(receivers[0].url)
    webhook.send(b"x")
    receivers[0].got.get(timeout=WAIT_S)
    webhook.stop(WAIT_S)
    assert receivers[0].got.empty()
    assert webhook.counts["alerts_dropped"] == 1


def test_one_that_says_nothing_is_given_up_after_its_tries(receivers, caplog):
    receivers.append(Receiver(None))
    webhook = sender(receivers[0].url, timeout_s=0.1, attempts=2)
    webhook.send(b"x")
    for _ in range(2):
        receivers[0].got.get(timeout=WAIT_S)
    webhook.stop(WAIT_S)
    assert webhook.counts["alerts_dropped"] == 1
    assert "no answer within 0.1 s" in caplog.text


class Dripping:
    """Answers each connection with `first`, then with a byte every so often, for ever."""

    def __init__(self, first: bytes, drip: bytes) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        self.stopping = threading.Event()
        self._first, self._drip = first, drip
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self.stopping.is_set():
            connection, _ = self.listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(self._first)
                while not self.stopping.wait(0.01):
                    connection.sendall(self._drip)

    def close(self) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            socket.create_connection(self.listener.getsockname(), 1.0).close()
        self._thread.join(WAIT_S)
        self.listener.close()


@pytest.mark.parametrize(
    ("first", "drip"),
    [(b"", b"H"), (b"HTTP/1.1 200 OK\r\n", b"x"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")],
    ids=["status", "header", "continue"],
)
def test_one_that_never_ends_its_answer_is_given_up(receivers, caplog, first, drip):
    receivers.append(dripping := Dripping(first, drip))
    webhook = sender(dripping.url, timeout_s=0.3, attempts=1)
    webhook.send(b"x")
    webhook.stop(WAIT_S)
    assert not webhook.alive()
    assert webhook.counts["alerts_dropped"] == 1
    assert "no answer within 0.3 s" in caplog.text


def test_of_a_huge_answer_only_its_head_is_read(receivers):
    receivers.append(endless := Dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1_000_000))
    webhook = sender(endless.url, attempts=1)
    webhook.send(b"x")
    webhook.stop(WAIT_S)
    assert webhook.counts["alerts_sent"] == 1


def test_a_url_with_a_password_is_refused():
    with pytest.raises(ValueError, match="token_file"):
        AlertsConfig(url=f"https://me:{SECRET}@example.org/hook")


def test_nobody_there_is_a_line_without_the_address(caplog):
    receiver = Receiver(200)
    receiver.close()
    webhook = sender(receiver.url, attempts=2)
    webhook.send(b"x")
    webhook.stop(WAIT_S)
    assert webhook.counts["alerts_dropped"] == 1
    assert SECRET not in caplog.text


def test_over_tls_only_the_named_certificates_are_trusted(receivers, tmp_path: Path):
    import subprocess

    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key.pem"),
         "-out", str(tmp_path / "cert.pem")], check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    receivers.append(Receiver(200, context=context))
    trusting = sender(receivers[0].url, ca_file=str(tmp_path / "cert.pem"))
    trusting.send(b"x")
    assert receivers[0].got.get(timeout=WAIT_S)[2] == b"x"
    trusting.stop(WAIT_S)
    doubting = sender(receivers[0].url, attempts=1)
    doubting.send(b"y")
    doubting.stop(WAIT_S)
    assert doubting.counts["alerts_dropped"] == 1
    assert receivers[0].got.empty()


def test_what_waits_is_bounded_and_counted():
    webhook = Webhook(AlertsConfig(url="http://127.0.0.1:1/"), Random(1))
    for _ in range(MAX_WAITING + 3):
        webhook.send(b"x")
    assert webhook.counts["alerts_over_bound"] == 3


def test_a_stop_does_not_wait_for_what_cannot_be_delivered():
    webhook = Webhook(AlertsConfig(url="http://127.0.0.1:1/"), Random(1), pause=lambda *_: 3600.0)
    webhook.start()
    webhook.send(b"x")
    webhook.stop(WAIT_S)
    assert not webhook.alive()


@pytest.mark.parametrize(
    ("status", "done", "again"),
    [(200, True, True), (204, True, True), (302, False, False), (400, False, False), (404, False, False),
     (408, False, True), (425, False, True), (429, False, True), (500, False, True), (503, False, True)],
)  # fmt: skip
def test_what_an_answer_means(status, done, again):
    found = judge(status)
    assert (found.done, found.done or found.again) == (done, again)


def test_delays_double_to_five_minutes_with_jitter():
    delays = [delay_s(attempt, Random(attempt)) for attempt in range(1, 15)]
    assert all(0.8 * 2**n <= delay <= 1.2 * 2**n for n, delay in enumerate(delays[:8]))
    assert max(delays) <= 360

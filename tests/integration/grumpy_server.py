"""A server that gives the answers that a real InfluxDB will not give on demand: each post gets the next of a list."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Answer = tuple[int, dict[str, str], str]
CUT = (0, {}, "")
"""The connection ends in the middle of the post."""


class GrumpyServer:
    """Answers posts from a list, then with 204; questions find nothing there."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.posts: list[list[str]] = []
        """The lines of each post that came whole."""
        self.lock = threading.Lock()
        grumpy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(404, {}, "{}")

            def do_POST(self) -> None:
                if self.path.startswith("/query"):
                    self.rfile.read(int(self.headers.get("Content-Length", 0)))
                    results = [{"statement_id": n} for n in range(self.path.count("%3B") + 1)]
                    self._answer(200, {}, json.dumps({"results": results}))
                    return
                with grumpy.lock:
                    status, headers, body = grumpy.answers.pop(0) if grumpy.answers else (204, {}, "")
                length = int(self.headers["Content-Length"])
                if status == 0:
                    self.rfile.read(length // 2)
                    self.close_connection = True
                    self.connection.close()
                    return
                sent = self.rfile.read(length)
                text = gzip.decompress(sent) if self.headers.get("Content-Encoding") == "gzip" else sent
                with grumpy.lock:
                    grumpy.posts.append(text.decode().splitlines())
                self._answer(status, headers, body)

            def _answer(self, status: int, headers: dict[str, str], body: str) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None: ...

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None: ...

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="grumpy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

"""A real Redis for tests, on a free port that it keeps over a kill and a restart, with each write on disk before it is
answered."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import redis
from server_process import ServerProcess

from tinyprof.embedded_broker import free_port

READY_TIMEOUT_S = 20.0
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


class RedisServer(ServerProcess):
    """Debian's redis-server on loopback."""

    def __init__(self, folder: Path, options: tuple[str, ...] = DURABLE, password: str = "") -> None:
        self.port = free_port()
        self._folder = folder
        self._options = (*options, *(("--requirepass", password) if password else ()))
        self._password = password
        self.url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{self.port}/0"
        super().__init__("redis-server", folder / "redis.log", READY_TIMEOUT_S)

    def start(self) -> "RedisServer":
        listen = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""]
        self.run([redis_program(), *listen, *self._options], self._is_ready)
        return self

    def client(self) -> "redis.Redis":
        """A connection of the test's own."""
        return redis.Redis(port=self.port, password=self._password or None, socket_timeout=10)

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def forget(self) -> None:
        """It is killed, and what it had on disk is taken away."""
        self.kill()
        for place in self._folder.glob("appendonlydir"):
            shutil.rmtree(place)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            self.kill()

    def _is_ready(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def redis_program() -> str:
    """Where redis-server is; without it the test is left out, or fails if TINYPROF_TEST_EVERYTHING is set."""
    found = shutil.which("redis-server")
    if found is None:
        if os.environ.get("TINYPROF_TEST_EVERYTHING"):
            pytest.fail("redis-server is not installed: apt install redis-server")
        pytest.skip("redis-server is not installed: 'apt install redis-server' adds the tests of several collectors")
    return found

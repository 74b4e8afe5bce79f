"""The child's end of the pipe to its parent: whole requests in, whole replies out, no wait without a limit."""

import os
import select
import time
from collections import deque

from tinyprof_models.engine_messages import FrameError, FrameSplitter, Reply, Request, frame, parse_request

READ_BYTES = 65536


class ChannelClosedError(Exception):
    """The parent has closed its end, or no longer reads."""


class Channel:
    """Frames over two file descriptors.

    A body that is no request comes out as the `FrameError` itself, in its turn, so that it can be answered.
    """

    def __init__(self, input_fd: int, output_fd: int, send_seconds: float) -> None:
        self._input_fd, self._output_fd = input_fd, output_fd
        self._send_seconds = send_seconds
        self._splitter = FrameSplitter()
        self._waiting: deque[Request | FrameError] = deque()
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(input_fd, select.POLLIN)
        self._writable.register(output_fd, select.POLLOUT)
        os.set_blocking(output_fd, False)

    def receive(self, wait_seconds: float) -> Request | FrameError | None:
        """The next request, or None after `wait_seconds` without one. Raises `ChannelClosedError`.

        Raises `FrameError` for a frame over the limit, after which nothing more can be read.
        """
        deadline = time.monotonic() + wait_seconds
        while not self._waiting:
            left = deadline - time.monotonic()
            if not self._readable.poll(max(left, 0) * 1000):
                return None
            data = os.read(self._input_fd, READ_BYTES)
            if not data:
                raise ChannelClosedError
            for body in self._splitter.feed(data):
                self._waiting.append(_request(body))
        return self._waiting.popleft()

    def receive_now(self) -> Request | FrameError | None:
        """The next request if one has come; costs one system call if none has."""
        if not self._waiting and not self._readable.poll(0):
            return None
        return self.receive(0)

    def send(self, reply: Reply) -> None:
        """Writes one reply. Raises `ChannelClosedError` if the parent does not read it in time."""
        rest = memoryview(frame(reply))
        while rest:
            if not self._writable.poll(self._send_seconds * 1000):
                raise ChannelClosedError
            try:
                rest = rest[os.write(self._output_fd, rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as error:
                raise ChannelClosedError from error


def _request(body: bytes) -> Request | FrameError:
    try:
        return parse_request(body)
    except FrameError as error:
        return error

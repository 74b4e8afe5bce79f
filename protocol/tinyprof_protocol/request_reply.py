"""What a reply may be: the one asked for, or a failure."""

from typing import Any, TypeVar

from tinyprof_protocol.codec import decode
from tinyprof_protocol.requests import Failure

R = TypeVar("R")


class RequestFailed(RuntimeError):
    """A collector's `Failure`: `code` for programs, the message for people."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.code = failure.code


def decode_reply(payload: bytes, kind: type[R]) -> R:
    """The reply of `kind`. Raises RequestFailed where the collector says no, BadMessage where bytes are neither."""
    either: Any = kind | Failure
    reply: R | Failure = decode(payload, either)
    if isinstance(reply, Failure):
        raise RequestFailed(reply)
    return reply

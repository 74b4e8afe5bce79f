"""What the configuration of a `probe` board may say."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tinyprof_agent.drivers.probe.frames import MAX_BODY_BYTES
from tinyprof_agent.drivers.probe.messages import MIN_RX_MAX

Seconds = Annotated[float, Meta(gt=0, le=600)]
Command = Annotated[list[Annotated[str, Meta(max_length=4096)]], Meta(min_length=1, max_length=64)]


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of one board. Times are seconds.

    `reset` is how to reset it: "dtr" pulses DTR and RTS, "none" does nothing, a list is a command with its arguments.
    `streamed` sends each token as it is made, which costs time on the board: such results are marked.
    `open_s` bounds opening, `answer_s` the wait for one answer, `tries` how often it is asked for, `stop_s` the wait
    for a run that is to stop; `rx_max` keeps messages to the board even shorter than it says itself.
    """

    port: Annotated[str, Meta(min_length=1, max_length=4096)]
    baud: Annotated[int, Meta(ge=300, le=12_000_000)] = 115_200
    streamed: bool = False
    reset: Literal["dtr", "none"] | Command = "dtr"
    open_s: Seconds = 5.0
    answer_s: Seconds = 0.5
    tries: Annotated[int, Meta(ge=1, le=100)] = 4
    stop_s: Seconds = 10.0
    rx_max: Annotated[int, Meta(ge=MIN_RX_MAX, le=MAX_BODY_BYTES)] = MAX_BODY_BYTES

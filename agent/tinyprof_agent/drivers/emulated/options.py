"""What the configuration of an `emulated` board may say."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from tinyprof_agent.drivers.probe.options import Options as ProbeOptions
from tinyprof_agent.drivers.probe.options import Seconds

PathText = Annotated[str, Meta(min_length=1, max_length=4096)]


class Options(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of one board. Times are seconds of this machine's clock.

    `target` is the name of a folder of `firmware/targets`, or the path of such a folder. `firmware_dir` is the folder
    of the firmware (by default the checkout's that this runs from), `image` what the emulator is given (by default
    `build/<target>/<image of target.toml>` in it). `open_s` bounds the emulator's start and the firmware's first
    answer; `answer_s`, `tries` and `stop_s` are those of a `probe` board.
    """

    target: PathText
    firmware_dir: PathText | None = None
    image: PathText | None = None
    open_s: Seconds = 30.0
    answer_s: Seconds = 2.0
    tries: Annotated[int, Meta(ge=1, le=100)] = 4
    stop_s: Seconds = 30.0

    @property
    def firmware(self) -> Path | None:
        """The firmware's folder, where one is given."""
        return None if self.firmware_dir is None else Path(self.firmware_dir)

    def probe(self, port: int) -> ProbeOptions:
        """The options of the link to an emulator that listens on a loopback port."""
        return ProbeOptions(
            port=f"socket://127.0.0.1:{port}",
            reset="none",
            open_s=self.open_s,
            answer_s=self.answer_s,
            tries=self.tries,
            stop_s=self.stop_s,
        )

"""Lines on which something comes and nothing can be read: a wrong baud rate, another firmware, a board that babbles."""

import resource
import threading

import pytest

from tinyprof_agent.drivers.driver import BoardError, LinkCounters
from tinyprof_agent.drivers.probe.board_driver import ProbeDriver
from tinyprof_agent.drivers.probe.frames import encode_frame
from tinyprof_agent.drivers.probe.link import MAX_BABBLE_BYTES, Link
from tinyprof_agent.drivers.probe.messages import Stats, encode_message
from tinyprof_agent.drivers.probe.options import Options

FRAME = encode_frame(encode_message(Stats(7, 12345, 0, 0, 0, 0)))


def received_at(data: bytes, sent_baud: int, read_baud: int) -> bytes:
    """What a UART at `read_baud`, 8N1, makes of bytes sent at `sent_baud`: it samples the middle of its own bits."""
    levels = [1] * 4
    for byte in data:
        levels += [0, *(byte >> bit & 1 for bit in range(8)), 1]
    levels += [1] * 40

    def level(at_s: float) -> int:
        index = int(at_s * sent_baud)
        return levels[index] if index < len(levels) else 1

    found, at_s, step_s, end_s = bytearray(), 0.0, 1 / read_baud / 16, len(levels) / sent_baud
    while at_s < end_s:
        if level(at_s):
            at_s += step_s
            continue
        bits = [level(at_s + (1.5 + bit) / read_baud) for bit in range(8)]
        found.append(sum(bit << index for index, bit in enumerate(bits)))
        at_s += 9.5 / read_baud
    return bytes(found)


class Line:
    """A port that says the same for ever, each read a piece of it, on a clock that each read moves."""

    def __init__(self, said: bytes, piece_ms: float = 1.0) -> None:
        self.said, self.now_ns, self.reads, self.piece_ms = said, 10**9, 0, piece_ms

    def clock(self) -> int:
        return self.now_ns

    def read(self, timeout_s: float) -> bytes:
        self.reads += 1
        self.now_ns += int(self.piece_ms * 1e6) if self.said else int(max(timeout_s, 0.001) * 1e9)
        return self.said

    def write(self, data: bytes) -> None: ...
    def drain(self) -> None: ...
    def set_lines(self, *, dtr: bool, rts: bool) -> None: ...
    def close(self) -> None: ...


def opened(line: Line, **options: object) -> BoardError:
    driver = ProbeDriver("b", Options(port="line", **options), line.clock, lambda path, baud: line)  # type: ignore[arg-type]
    with pytest.raises(BoardError) as caught:
        driver.open()
    return caught.value


def test_the_right_rate_reads_what_was_sent() -> None:
    assert received_at(FRAME, 115_200, 115_200) == FRAME


@pytest.mark.parametrize("baud", [9_600, 57_600, 76_800, 230_400, 921_600])
def test_a_wrong_baud_rate_is_told_apart_from_silence(baud: int) -> None:
    garbled = received_at(FRAME * 20, 115_200, baud)
    assert garbled
    why = opened(Line(garbled, piece_ms=100), baud=baud)
    assert why.code == "silent"
    assert "no frame among them" in str(why)
    assert f"the baud rate is wrong (it is set to {baud})" in str(why)


def test_silence_is_silence() -> None:
    why = opened(Line(b""))
    assert str(why).startswith("no answer in 5 s: is the board powered")


def test_a_firmware_that_only_prints_is_told_as_that() -> None:
    why = opened(Line(b"I (312) main: hello from another firmware\r\n", piece_ms=100))
    assert "only text: its firmware does not answer tinyprof's link" in str(why)
    assert "hello from another firmware" in str(why)


def test_a_board_that_speaks_the_link_and_does_not_answer_is_told_as_that() -> None:
    why = opened(Line(FRAME, piece_ms=100))
    assert "the board speaks, but did not answer" in str(why)


@pytest.mark.parametrize(
    "said", [b"\xa5" * 4096, b"\x00\x95" * 2048, b"words without end\r\n" * 227], ids=("noise", "zeros", "text")
)
def test_a_board_that_babbles_ends_soon_and_is_named(said: bytes) -> None:
    line = Line(said[:4096], piece_ms=0.0001)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    why = opened(line)
    assert why.code == "silent"
    assert "no frame among them" in str(why)
    assert line.reads <= MAX_BABBLE_BYTES // len(line.said) + 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def test_messages_between_the_noise_keep_a_board_from_babbling() -> None:
    line, counters = Line(b"\xa5" * 2000 + FRAME), LinkCounters()
    link = Link(line, line.clock, counters)

    class Patient:
        done, wake_ns, seen = False, 0, 0

        def begin(self, now_ns: int) -> list:
            return []

        def on_message(self, message: object, now_ns: int) -> list:
            self.seen += 1
            self.done = self.seen > 2 * MAX_BABBLE_BYTES // 2000
            return []

        def on_time(self, now_ns: int) -> list:
            return []

    patient = Patient()
    link.carry_out(patient)
    assert patient.done
    assert link.bytes_in > 2 * MAX_BABBLE_BYTES
    assert "babbled" not in counters.counts


def test_a_babbling_board_in_a_run_is_an_error_too(make_bench) -> None:
    bench = make_bench()
    bench.driver.open()
    bench.line.read = lambda timeout_s: b"\xa5" * 4096
    with pytest.raises(BoardError, match="the board babbles: ") as caught:
        bench.driver.generate("One day", 4, timeout_s=60, cancelled=threading.Event())
    assert caught.value.code == "silent"

"""The driver against a soft board in the same thread: every fault of the line, and time under control."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_agent.drivers.driver import BoardError, Cancelled, Generation
from tinyprof_agent.drivers.probe.frames import FrameDecoder, encode_frame
from tinyprof_agent.drivers.probe.messages import (
    RUNNING,
    Abort,
    AskHello,
    AskStats,
    Fault,
    Limits,
    Run,
    Stats,
    decode_board_message,
    encode_message,
)
from tinyprof_agent.drivers.probe.tick_clock import NS

GO = threading.Event()
EVERY_TOKEN = [100 + index for index in range(40)]


def generate(bench: Any, max_tokens: int = 40, prompt: str = "Once", timeout_s: float = 60) -> Generation:
    made: Generation = bench.driver.generate(prompt, max_tokens, timeout_s=timeout_s, cancelled=GO)
    return made


def test_a_board_says_who_it_is(make_bench: Callable[..., Any]) -> None:
    info = make_bench(limits=Limits(168_000_000, 32, 64, 100)).driver.open()
    assert (info.identity, info.tick_hz, info.host_clock, info.ram_is_rss) == ("serial-7", 168_000_000, False, True)
    assert (info.build.platform, info.build.emulated, info.build.timing) == ("host", False, "device")
    assert (info.build.model, info.build.model_sha256, info.build.ctx) == ("counting", "00" * 32, 256)
    assert (info.build.firmware, info.build.firmware_build, info.build.streamed) == ("counting 1", "0102", False)


def test_a_run_has_the_boards_own_times(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(token_ms=lambda index: 30.0 if index == 0 else 2.5)
    bench.driver.open()
    made = generate(bench)
    assert made.tokens == EVERY_TOKEN
    assert made.token_ns[0] - made.t0_ns == 30_000_000
    gaps = {late - early for early, late in zip(made.token_ns, made.token_ns[1:], strict=False)}
    assert gaps == {2_500_000}
    assert (made.prompt_tokens, made.stopped, made.missing_tokens) == (5, "limit", 0)
    assert made.text == b"".join(b"<%d>" % token for token in EVERY_TOKEN)


def test_the_last_token_may_be_the_end_of_sequence(make_bench: Callable[..., Any]) -> None:
    bench = make_bench()
    bench.model.stop_after = 3
    bench.driver.open()
    made = generate(bench)
    assert (made.tokens, made.stopped) == ([100, 101, 102, 2], "eos")


def test_a_counter_that_wraps_within_a_run_and_between_runs(make_bench: Callable[..., Any]) -> None:
    # 16 bits at 1 MHz wrap every 65.5 ms; tokens take up to half of that.
    bench = make_bench(limits=Limits(1_000_000, 16, 512, 4096), token_ms=lambda index: 1 + 10.0 * (index % 4))
    bench.driver.open()
    first = bench.driver.round_trip()
    for _ in range(5):
        before = bench.clock.now_ns
        made = generate(bench)
        assert made.tokens == EVERY_TOKEN
        assert made.token_ns[-1] - made.t0_ns == sum(1 + 10 * (index % 4) for index in range(40)) * 10**6
        host_offset = made.t0_ns - before
        bench.clock.pass_ms(700)
    last = bench.driver.round_trip()
    assert abs((last.board_ns - first.board_ns) - (last.received_ns - first.received_ns)) <= 2 * 10**6
    assert abs(host_offset - (first.board_ns - first.sent_ns)) <= 2 * 10**6


@pytest.mark.parametrize("rx_max", [64, 65, 100])
def test_a_long_prompt_arrives_whole_in_pieces(make_bench: Callable[..., Any], rx_max: int) -> None:
    bench = make_bench(limits=Limits(NS, 64, rx_max, 100))
    bench.driver.open()
    prompt = "Zoë's naïve café – 🐍 " * 40
    generate(bench, prompt=prompt)
    assert bench.model.prompts == [prompt]


def test_the_options_may_keep_messages_shorter_than_the_board_asks(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(rx_max=64)
    bench.driver.open()
    lengths: list[int] = []
    bench.line.spoil_to_board = lambda data: lengths.append(len(data)) or data
    generate(bench, prompt="x" * 200)
    assert len(lengths) == 5
    assert max(lengths) <= 64 + 2 + 1 + 2


def test_streamed_tokens_come_one_by_one_and_the_build_says_so(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(streamed=True)
    assert bench.driver.open().build.streamed
    texts: list[bytes] = []
    made = bench.driver.generate("Once", 5, timeout_s=9, cancelled=GO, on_text=texts.append)
    assert texts == [b"<100>", b"<101>", b"<102>", b"<103>", b"<104>"]
    assert made.tokens == EVERY_TOKEN[:5]


@pytest.mark.parametrize(
    ("fault", "count", "counter"),
    [
        ("lose-group", 1, "resends_asked"),
        ("lose-group", 3, "resends_asked"),
        ("bad-crc", 2, "bad_crc"),
        ("babble", 2, "log_bytes"),
        ("noise", 3, "log_bytes"),
        ("lose-end", 1, "resends_asked"),
    ],
)
def test_a_run_survives_what_the_line_does(
    make_bench: Callable[..., Any], fault: str, count: int, counter: str
) -> None:
    bench = make_bench(faults={fault: count})
    bench.driver.open()
    made = generate(bench)
    assert (made.tokens, made.missing_tokens) == (EVERY_TOKEN, 0)
    assert bench.driver.counters.counts[counter] >= 1


def test_a_board_answers_between_tokens(make_bench: Callable[..., Any]) -> None:
    bench = make_bench()
    bench.driver.open()
    answers: list[Any] = []
    decoder = FrameDecoder()

    def hear(data: bytes) -> bytes:
        answers.extend(map(decode_board_message, decoder.feed(data).bodies))
        return data

    def ask(index: int) -> None:
        if index == 5:
            bench.line.write(encode_frame(encode_message(AskStats(4242))))
            bench.line.write(encode_frame(encode_message(Run(4242, 0, 1, 5, 0, b"another"))))

    bench.line.spoil_to_host = hear
    bench.model.on_token = ask
    made = generate(bench)
    assert made.tokens == EVERY_TOKEN
    asked = next(answer for answer in answers if isinstance(answer, Stats) and answer.nonce == 4242)
    assert (asked.state, asked.tokens, asked.tick) == (RUNNING, 6, made.token_ns[5])
    assert [answer.code for answer in answers if isinstance(answer, Fault)] == ["busy"]
    assert bench.driver.counters.counts["strangers"] == 1


def test_long_texts_are_spread_over_more_groups(make_bench: Callable[..., Any]) -> None:
    bench = make_bench()
    bench.model.text = lambda tokens: b"".join(b"%d" % token * 100 for token in tokens)
    bench.driver.open()
    made = generate(bench)
    assert (made.tokens, made.text) == (EVERY_TOKEN, bench.model.text(EVERY_TOKEN))


def test_what_is_lost_each_time_is_reported_as_missing(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(faults={"lose-group": 1000})
    bench.driver.open()
    made = generate(bench)
    assert (made.tokens, made.missing_tokens) == ([], 40)


def test_a_reset_in_the_middle_of_a_run_is_an_error_and_the_next_run_works(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(faults={"reset-mid-run": 1})
    bench.driver.open()
    with pytest.raises(BoardError, match="started anew") as error:
        generate(bench)
    assert error.value.code == "reset"
    bench.driver.open()
    assert generate(bench).tokens == EVERY_TOKEN


def test_a_board_that_hangs_times_out_and_works_after_a_reset(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(faults={"hang": 1})
    bench.driver.open()
    with pytest.raises(BoardError, match="did not end within 5 s") as error:
        generate(bench, timeout_s=5)
    assert error.value.code == "timeout"
    with pytest.raises(BoardError) as error:
        bench.driver.open()
    assert error.value.code == "silent"
    bench.driver.reset()
    bench.driver.open()
    assert generate(bench).tokens == EVERY_TOKEN


def test_another_version_is_one_line(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(faults={"wrong-version": 1})
    with pytest.raises(BoardError, match="another version") as error:
        bench.driver.open()
    assert error.value.code == "version"
    assert bench.line.closed == 1


def test_a_cancelled_run_stops_between_tokens(make_bench: Callable[..., Any]) -> None:
    bench = make_bench()
    bench.driver.open()
    cancelled = threading.Event()
    made: list[int] = []

    def on_token(index: int) -> None:
        """Someone gives up at token 3; what the host then sends is here by token 5."""
        made.append(index)
        if index == 3:
            cancelled.set()
        if index == 5:
            bench.line.write(encode_frame(encode_message(Abort(bench.line.board._job.run))))

    bench.model.on_token = on_token
    with pytest.raises(Cancelled):
        bench.driver.generate("Once", 4000, timeout_s=60, cancelled=cancelled)
    assert len(made) == 6
    bench.model.on_token = lambda index: None
    assert generate(bench).tokens == EVERY_TOKEN


def test_a_run_cancelled_before_it_began_is_none(make_bench: Callable[..., Any]) -> None:
    bench = make_bench()
    bench.driver.open()
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        bench.driver.generate("Once", 40, timeout_s=60, cancelled=cancelled)
    assert generate(bench).tokens == EVERY_TOKEN


def test_opening_ends_what_the_board_is_in_the_middle_of(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(streamed=True)
    bench.driver.open()
    began = []

    def open_again(index: int) -> None:
        if index == 5 and not began:
            began.append(index)
            bench.line.write(encode_frame(encode_message(AskHello(4242, 1, 1))))

    bench.model.on_token = open_again
    with pytest.raises(BoardError):
        generate(bench, timeout_s=5)
    bench.driver.open()
    assert generate(bench).tokens == EVERY_TOKEN


@pytest.mark.parametrize(("prompt", "tokens"), [("Once", 0), ("Once", 101), ("x" * 2001, 5), ("x" * 70_000, 5)])
def test_what_the_board_cannot_do_is_refused_and_it_goes_on(
    make_bench: Callable[..., Any], prompt: str, tokens: int
) -> None:
    bench = make_bench(limits=Limits(NS, 64, 512, 100))
    bench.driver.open()
    with pytest.raises(BoardError) as error:
        generate(bench, tokens, prompt)
    assert error.value.code == "refused"
    assert generate(bench).tokens == EVERY_TOKEN


def test_calls_before_opening_are_an_error(make_bench: Callable[..., Any]) -> None:
    driver = make_bench().driver
    with pytest.raises(BoardError, match="not open"):
        driver.round_trip()
    driver.close()
    driver.close()


def test_an_error_quotes_the_last_line_of_the_boards_log(make_bench: Callable[..., Any]) -> None:
    bench = make_bench(faults={"hang": 1})
    bench.driver.open()
    bench.line.board_writes(b"boot ok\r\nassert failed: arena full\r\n")
    with pytest.raises(BoardError, match="its log ends: assert failed: arena full"):
        generate(bench, timeout_s=5)


@given(st.randoms(use_true_random=False), st.floats(0.0, 0.15))
@settings(max_examples=60, deadline=None)
def test_a_line_that_loses_and_spoils_never_gives_a_wrong_result(rng: Any, rate: float) -> None:
    """Whatever happens to bytes both ways: the right tokens, some said to be missing, or a BoardError."""
    bench = _MAKE[0]()
    bench.driver.open()

    def spoil(data: bytes) -> bytes:
        if rng.random() >= rate * 3:
            return data
        spoilt = bytearray(data)
        at = rng.randrange(len(spoilt))
        match rng.randrange(4):
            case 0:
                spoilt[at] ^= 1 << rng.randrange(8)
            case 1:
                del spoilt[at:]
            case 2:
                del spoilt[at]
            case _:
                spoilt[at:at] = rng.randbytes(rng.randrange(1, 30))
        return bytes(spoilt)

    bench.line.spoil_to_host = bench.line.spoil_to_board = spoil
    codes: set[str] = set()
    for _ in range(3):
        try:
            made = generate(bench)
        except BoardError as error:
            codes.add(error.code)
            continue
        assert len(made.tokens) + made.missing_tokens == 40
        positions = [token - 100 for token in made.tokens]
        assert positions == sorted(set(positions))
        times = [(late - made.t0_ns) // 10**6 for late in made.token_ns]
        assert times == [position + 1 for position in positions]
    assert codes <= {"silent", "timeout", "reset"}


_MAKE: list[Callable[..., Any]] = []


@pytest.fixture(autouse=True)
def _keep_maker(make_bench: Callable[..., Any]) -> None:
    """Hypothesis wants no function-scoped fixture as an argument; the maker has no state."""
    _MAKE[:] = [make_bench]

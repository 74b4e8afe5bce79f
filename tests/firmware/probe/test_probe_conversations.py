"""The C probe and the agent's driver in conversation: every fault of the line, and time under control."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_agent.drivers.driver import BoardError, Cancelled, Generation
from tinyprof_agent.drivers.probe.frames import FrameDecoder, encode_frame
from tinyprof_agent.drivers.probe.messages import (
    ENDED_ABORTED,
    IDLE,
    RUNNING,
    Abort,
    AskHello,
    AskLoop,
    AskStats,
    BoardMessage,
    End,
    Fault,
    Hello,
    HostMessage,
    Log,
    Loop,
    Resend,
    Run,
    Start,
    Stats,
    Tokens,
    decode_board_message,
    encode_message,
)

GO = threading.Event()
EVERY_TOKEN = [100 + index for index in range(40)]
MakeProbe = Callable[..., Any]


def generate(bench: Any, max_tokens: int = 40, prompt: str = "Once", timeout_s: float = 60) -> Generation:
    made: Generation = bench.driver.generate(prompt, max_tokens, timeout_s=timeout_s, cancelled=GO)
    return made


def send(bench: Any, *messages: HostMessage) -> None:
    for message in messages:
        bench.line.write(encode_frame(encode_message(message)))


def heard(bench: Any) -> list[BoardMessage]:
    """All that the board has said until now, each of its messages readable."""
    bench.board.attend()
    decoder = FrameDecoder()
    bodies = [body for _, data in bench.line.to_host for body in decoder.feed(data).bodies]
    bench.line.to_host.clear()
    messages = [message for body in bodies if (message := decode_board_message(body)) is not None]
    assert len(messages) == len(bodies)
    assert decoder.bad_crc == 0
    return messages


def asked(bench: Any, *messages: HostMessage) -> list[BoardMessage]:
    heard(bench)
    send(bench, *messages)
    return heard(bench)


def ids_of(messages: list[BoardMessage]) -> list[int]:
    return [token for message in messages if isinstance(message, Tokens) for token in message.ids]


def test_a_board_says_who_it_is_unasked_and_asked(make_probe: MakeProbe) -> None:
    bench = make_probe(rx_max=200, token_max=300)
    [unasked] = heard(bench)
    assert isinstance(unasked, Hello)
    assert (unasked.nonce, unasked.boot, unasked.limits.rx_max, unasked.limits.token_max) == (0, 77, 200, 300)
    info = bench.driver.open()
    assert (info.identity, info.tick_hz, info.build.platform, info.build.ctx) == ("serial-7", 10**9, "host", 256)


@pytest.mark.parametrize("tick_bits", [32, 64])
def test_a_run_has_the_boards_own_times_and_memory(make_probe: MakeProbe, tick_bits: int) -> None:
    bench = make_probe(tick_bits, token_ms=lambda index: 30.0 if index == 0 else 2.5)
    bench.driver.open()
    made = generate(bench)
    assert made.tokens == EVERY_TOKEN
    assert made.token_ns[0] - made.t0_ns == 30_000_000
    assert {late - early for early, late in zip(made.token_ns, made.token_ns[1:], strict=False)} == {2_500_000}
    assert (made.prompt_tokens, made.stopped, made.missing_tokens) == (5, "limit", 0)
    assert (made.ram_peak_bytes, made.heap_peak_bytes, made.stack_peak_bytes) == (1000, None, 300)
    assert made.text == b"".join(b"<%d>" % token for token in EVERY_TOKEN)


def test_end_of_sequence_is_counted_and_said(make_probe: MakeProbe) -> None:
    bench = make_probe(stop_after=3)
    bench.driver.open()
    made = generate(bench)
    assert (made.tokens, made.stopped) == ([100, 101, 102, 2], "eos")


def test_a_counter_of_32_bits_wraps_within_a_run(make_probe: MakeProbe) -> None:
    # At 1 GHz it wraps every 4.29 s: a token each second, and a stamp on the way at each quarter wrap.
    bench = make_probe(token_ms=lambda index: 1000.0)
    bench.driver.open()
    made = generate(bench, 20)
    assert [ns - made.t0_ns for ns in made.token_ns] == [(index + 1) * 10**9 for index in range(20)]
    before = generate(bench, 5)
    bench.clock.now_ns += 60 * 10**9
    after = generate(bench, 5)
    assert abs(after.t0_ns - before.t0_ns - 65 * 10**9) < 10**9


def test_stamps_come_unasked_each_quarter_of_a_wrap(make_probe: MakeProbe) -> None:
    bench = make_probe(tick_bits=16, tick_hz=1_000_000, token_ms=lambda index: 6.0)
    stamps = [one for one in asked(bench, Run(5, 0, 1, 30, 0, b"x")) if isinstance(one, Stats)]
    assert {(one.nonce, one.state, one.run) for one in stamps} == {(0, RUNNING, 5)}
    assert [one.tokens for one in stamps] == [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]


@pytest.mark.parametrize("rx_max", [64, 100, 1024])
def test_a_long_prompt_arrives_whole_in_pieces(make_probe: MakeProbe, rx_max: int) -> None:
    bench = make_probe(rx_max=rx_max, ring_bytes=1200)
    bench.driver.open()
    prompt = "Zoë's naïve café – 🐍 " * 40
    generate(bench, prompt=prompt)
    assert bench.board.prompts == [prompt.encode()]


def test_streamed_tokens_come_one_by_one(make_probe: MakeProbe) -> None:
    bench = make_probe(options={"streamed": True})
    bench.driver.open()
    texts: list[bytes] = []
    made = bench.driver.generate("Once", 5, timeout_s=9, cancelled=GO, on_text=texts.append)
    assert texts == [b"<100>", b"<101>", b"<102>", b"<103>", b"<104>"]
    assert made.tokens == EVERY_TOKEN[:5]


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_lost_groups_and_ends_are_sent_again(make_probe: MakeProbe, lost: int) -> None:
    bench = make_probe(text=lambda token: b"%d" % token * 40)
    bench.driver.open()
    left = [lost]

    def lose(data: bytes) -> bytes:
        message = decode_board_message(FrameDecoder().feed(data).bodies[0])
        if isinstance(message, Tokens | End) and left[0]:
            left[0] -= 1
            return data[: len(data) // 2]
        return data

    bench.line.spoil_to_host = lose
    made = generate(bench)
    assert (made.tokens, made.missing_tokens) == (EVERY_TOKEN, 0)
    assert made.text == b"".join(b"%d" % token * 40 for token in EVERY_TOKEN)
    assert bench.driver.counters.counts["resends_asked"] >= 1


def test_groups_have_at_most_64_tokens_and_fit_into_a_body(make_probe: MakeProbe) -> None:
    bench = make_probe(text=None, token_max=200)
    groups = [one for one in asked(bench, Run(5, 0, 1, 200, 0, b"x")) if isinstance(one, Tokens)]
    assert [(one.first, len(one.ids)) for one in groups] == [(0, 64), (64, 64), (128, 64), (192, 8)]
    bench = make_probe(text=lambda token: b"t" * 2000, id_of=lambda index: 2**32 - 1 - index)
    groups = [one for one in asked(bench, Run(5, 0, 1, 3, 0, b"x")) if isinstance(one, Tokens)]
    # Of a text that long, as no tokeniser has, 255 bytes travel: three such tokens fit, and a fourth.
    assert [(one.first, one.text) for one in groups] == [(0, b"t" * 255 * 3)]


def test_between_tokens_the_board_answers_and_is_busy_for_others(make_probe: MakeProbe) -> None:
    bench = make_probe()

    def ask(index: int) -> None:
        if index == 5:
            send(bench, AskStats(42), Run(43, 0, 1, 5, 0, b"another"), Resend(5, 0, 2), Run(5, 0, 1, 40, 0, b"x"))
            send(bench, AskLoop(44, 100))

    bench.board.settings.on_token = ask
    said = asked(bench, Run(5, 0, 1, 40, 0, b"x"))
    stats = next(one for one in said if isinstance(one, Stats))
    assert (stats.nonce, stats.state, stats.run, stats.tokens) == (42, RUNNING, 5, 6)
    assert [(one.run, one.code) for one in said if isinstance(one, Fault)] == [(43, "busy"), (0, "busy")]
    assert [one.pieces for one in said if isinstance(one, Start)] == [1, 1]
    # What was asked for again in the middle of the run comes after its end.
    assert ids_of(said) == EVERY_TOKEN + EVERY_TOKEN[:2]
    assert [type(one).__name__ for one in said[-4:]] == ["Tokens", "End", "Tokens", "End"]
    assert bench.board.prompts == [b"x"]


def test_pieces_that_come_twice_are_acknowledged_and_change_nothing(make_probe: MakeProbe) -> None:
    bench = make_probe()
    first, second = Run(5, 0, 2, 3, 0, b"one "), Run(5, 1, 2, 3, 0, b"two")
    assert [one.pieces for one in asked(bench, first, first)] == [1, 1]
    assert asked(bench, Run(5, 3, 2, 3, 0, b"nine"), Run(9, 1, 2, 3, 0, b"stray")) == []
    said = asked(bench, second)
    assert ids_of(said) == [100, 101, 102]
    assert [type(one).__name__ for one in asked(bench, second, first)] == ["Start", "Start"]
    assert asked(bench, Run(5, 2, 2, 3, 0, b"three")) == []
    assert bench.board.prompts == [b"one two"]


def test_an_abort_stops_before_the_next_token(make_probe: MakeProbe) -> None:
    bench = make_probe()
    bench.board.settings.on_token = lambda index: send(bench, Abort(5)) if index == 3 else None
    said = asked(bench, Run(5, 0, 1, 40, 0, b"x"))
    end = said[-1]
    assert isinstance(end, End)
    assert (end.reason, end.tokens, ids_of(said)) == (ENDED_ABORTED, 4, [])
    assert bench.board.stopped_at == [4]
    assert asked(bench, Abort(5)) == [end]
    assert ids_of(asked(bench, Resend(5, 1, 2))) == [101, 102]
    assert [one.code for one in asked(bench, Abort(6))] == ["no_run"]


def test_a_cancelled_run_stops_and_the_next_works(make_probe: MakeProbe) -> None:
    bench = make_probe()
    bench.driver.open()
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        bench.driver.generate("Once", 40, timeout_s=60, cancelled=cancelled)
    assert generate(bench).tokens == EVERY_TOKEN


def test_an_abort_of_half_a_prompt_is_no_run(make_probe: MakeProbe) -> None:
    bench = make_probe()
    said = asked(bench, Run(5, 0, 2, 3, 0, b"one "), Abort(5), Run(5, 1, 2, 3, 0, b"two"))
    assert [type(one).__name__ for one in said] == ["Start", "Fault"]
    assert bench.board.prompts == []


def test_resend_of_what_there_is_not(make_probe: MakeProbe) -> None:
    bench = make_probe()
    assert [one.code for one in asked(bench, Resend(5, 0, 1))] == ["no_run"]
    asked(bench, Run(5, 0, 1, 10, 0, b"x"))
    assert ids_of(asked(bench, Resend(5, 8, 65535))) == [108, 109]
    assert [type(one).__name__ for one in asked(bench, Resend(5, 65535, 65535))] == ["End"]
    assert [type(one).__name__ for one in asked(bench, Resend(5, 0, 0))] == ["End"]
    assert [one.code for one in asked(bench, Resend(6, 0, 1))] == ["no_run"]


def test_hello_ends_everything_without_a_word(make_probe: MakeProbe) -> None:
    bench = make_probe()

    def ask(index: int) -> None:
        if index == 5:
            send(bench, Resend(5, 0, 1), AskHello(99, 0, 9), AskStats(7), Run(6, 0, 1, 2, 0, b"y"))

    bench.board.settings.on_token = ask
    said = asked(bench, Run(5, 0, 1, 40, 0, b"x"))
    assert [type(one).__name__ for one in said] == ["Start", "Hello", "Stats", "Start", "Tokens", "End"]
    assert [one.nonce for one in said if isinstance(one, Hello | Stats)] == [99, 7]
    stats = next(one for one in said if isinstance(one, Stats))
    assert (stats.run, stats.state, stats.tokens) == (0, IDLE, 0)
    assert bench.board.stopped_at == [6, 2]


@pytest.mark.parametrize(("low", "high", "answer"), [(1, 1, Hello), (0, 255, Hello), (2, 9, Fault), (0, 0, Fault)])
def test_versions(make_probe: MakeProbe, low: int, high: int, answer: type) -> None:
    [said] = asked(make_probe(), AskHello(3, low, high))
    assert isinstance(said, answer)
    assert not isinstance(said, Fault) or (said.run, said.code) == (0, "version")


def test_a_reset_in_the_middle_of_a_run_is_an_error_and_the_next_run_works(make_probe: MakeProbe) -> None:
    bench = make_probe()
    bench.driver.open()
    bench.board.settings.on_token = lambda index: bench.board.die() if index == 7 else None
    with pytest.raises(BoardError, match="started anew") as error:
        generate(bench)
    assert error.value.code == "reset"
    bench.board.settings.on_token = lambda index: None
    bench.driver.open()
    assert generate(bench).tokens == EVERY_TOKEN


@pytest.mark.parametrize(("prompt", "tokens"), [("Once", 0), ("Once", 101), ("x" * 4097, 5)])
def test_what_the_board_cannot_do_is_refused_and_it_goes_on(make_probe: MakeProbe, prompt: str, tokens: int) -> None:
    bench = make_probe(token_max=100)
    bench.driver.open()
    with pytest.raises(BoardError) as error:
        generate(bench, tokens, prompt)
    assert error.value.code == "refused"
    assert generate(bench).tokens == EVERY_TOKEN


def test_more_tokens_than_the_board_keeps_are_a_bad_request(make_probe: MakeProbe) -> None:
    bench = make_probe(token_max=100)
    assert [(one.run, one.code) for one in asked(bench, Run(5, 0, 1, 101, 0, b"x"))] == [(5, "bad_request")]


def test_what_goes_wrong_in_a_run_ends_it(make_probe: MakeProbe) -> None:
    bench = make_probe(fault=(b"memory", "no room é".encode() * 30))
    bench.driver.open()
    with pytest.raises(BoardError, match="the board says memory: no room") as error:
        generate(bench)
    assert error.value.code == "fault"
    bench.board.settings.fault = None
    assert generate(bench).tokens == EVERY_TOKEN


def test_a_known_loop(make_probe: MakeProbe) -> None:
    bench = make_probe()
    assert [(one.run, one.code) for one in asked(bench, AskLoop(9, 100))] == [(0, "bad_request")]
    bench = make_probe(loop=lambda instructions: instructions + 7)
    [said] = asked(bench, AskLoop(9, 100))
    assert isinstance(said, Loop)
    assert (said.nonce, said.instructions, said.before) == (9, 107, said.after)


def test_a_log_line_comes_in_a_frame(make_probe: MakeProbe) -> None:
    bench = make_probe()
    heard(bench)
    bench.board.log(2, b"x" * 500)
    assert heard(bench) == [Log(2, b"x" * 200)]


def test_what_is_no_message_is_dropped_and_counted(make_probe: MakeProbe) -> None:
    bench = make_probe()
    whole = encode_message(Run(5, 0, 1, 3, 0, b"prompt"))
    bodies = [whole[:-1], whole + b"\x00", b"\x91\x11", b"\x91\x07", b"\x92\x03\x00", b"\x92\x03\xa1x", b"\x91\x03"]
    for body in bodies:
        bench.line.write(encode_frame(body))
    bench.line.write(b"noise\x00 and log\x00\x05\x92\x03\x07\x01\x00")
    [stats] = asked(bench, AskStats(1))
    assert isinstance(stats, Stats)
    assert (stats.run, stats.dropped) == (0, len(bodies) + 1)


@pytest.mark.parametrize("length", [64, 65, 66, 67, 68, 200])
def test_a_message_is_taken_up_to_the_boards_own_limit(make_probe: MakeProbe, length: int) -> None:
    bench = make_probe(rx_max=64)
    heard(bench)
    bench.line.write(encode_frame(b"\x93\x04\x07\xc4" + bytes([length - 5]) + b"x" * (length - 5)))
    assert [one.nonce for one in heard(bench) if isinstance(one, Stats)] == ([7] if length == 64 else [])
    [stats] = asked(bench, AskStats(8))
    assert isinstance(stats, Stats)
    assert stats.dropped == (length > 64)


def test_of_two_repetitions_asked_for_in_a_run_the_second_counts(make_probe: MakeProbe) -> None:
    bench = make_probe()
    bench.board.settings.on_token = lambda index: send(bench, Resend(5, index, 1)) if index < 2 else None
    assert ids_of(asked(bench, Run(5, 0, 1, 3, 0, b"x"))) == [100, 101, 102, 101]
    [stats] = asked(bench, AskStats(8))
    assert isinstance(stats, Stats)
    assert stats.dropped == 1


def test_what_a_later_version_adds_is_ignored(make_probe: MakeProbe) -> None:
    added = (
        b"\x9e\x04\x2a\xc0\xc3\x92\x01\x92\x02\xa1x\xcb" + bytes(8) + b"\xd9\x01z\xdc\x00\x02\x01\x02\xd3" + b"\xff" * 8
    )
    added += b"\xc5\x00\x01a\xe0\x91\x91\x91\x90\xcf" + b"\xff" * 8 + b"\xda\x00\x02zz"
    bench = make_probe()
    heard(bench)
    bench.line.write(encode_frame(added))
    assert [one.nonce for one in heard(bench) if isinstance(one, Stats)] == [42]


def test_what_the_ring_cannot_take_is_counted(make_probe: MakeProbe) -> None:
    bench = make_probe(ring_bytes=128)
    heard(bench)
    bench.board.receive(b"x" * 300)
    assert asked(bench, AskStats(1)) == []
    bench.line.write(b"\x00")
    [stats] = asked(bench, AskStats(2))
    assert isinstance(stats, Stats)
    assert stats.dropped >= 300 - 127


@pytest.mark.parametrize(
    "wrong",
    [{"rx_max": 63}, {"rx_max": 1025}, {"token_max": 0}, {"token_max": 65536}, {"ring_bytes": 127}, {"tick_bits": 7},
     {"tick_hz": 0}],
    ids=lambda wrong: next(iter(wrong)),
)  # fmt: skip
def test_a_configuration_out_of_bounds_is_refused(make_probe: MakeProbe, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="refuses"):
        make_probe(**wrong)


@given(st.randoms(use_true_random=False), st.floats(0.0, 0.15))
@settings(max_examples=40, deadline=None)
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
        assert [(late - made.t0_ns) // 10**6 for late in made.token_ns] == [position + 1 for position in positions]
    assert codes <= {"silent", "timeout", "reset"}


_MAKE: list[MakeProbe] = []


@pytest.fixture(autouse=True)
def _keep_maker(make_probe: MakeProbe) -> None:
    """Hypothesis wants no function-scoped fixture as an argument; the maker has no state that matters."""
    _MAKE[:] = [make_probe]

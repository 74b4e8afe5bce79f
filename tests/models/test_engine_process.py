"""The engine's child process, over real pipes."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tinyprof_models.catalogue import shipped_model
from tinyprof_models.engine_messages import (
    MAX_FRAME_BYTES,
    Abort,
    Failed,
    FrameSplitter,
    Generate,
    Generated,
    Load,
    Loaded,
    Ping,
    Pong,
    Quit,
    Reply,
    Request,
    TokenMade,
    frame,
    parse_reply,
)
from tinyprof_models.golden import Activations, shipped_golden

WAIT_SECONDS = 30.0
MODEL = shipped_model("stories260k-q4_0")


class Child:
    """The process and its pipes; every wait has a limit."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tinyprof_models.engine_process", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self._splitter = FrameSplitter()
        self._replies: list[Reply] = []

    def send(self, *requests: Request) -> None:
        self.send_bytes(b"".join(frame(request) for request in requests))

    def send_bytes(self, data: bytes) -> None:
        self.stdin.write(data)

    def receive(self) -> Reply:
        while not self._replies:
            ready, _, _ = select.select([self.stdout], [], [], WAIT_SECONDS)
            assert ready, "the child did not answer in time"
            data = os.read(self.stdout.fileno(), 65536)
            assert data, f"the child ended: {self.errors()}"
            self._replies += [parse_reply(body) for body in self._splitter.feed(data)]
        return self._replies.pop(0)

    def ask(self, request: Request) -> Reply:
        self.send(request)
        return self.receive()

    def loaded(self, activations: Activations = "int8", path: Path = MODEL.path) -> Loaded:
        reply = self.ask(Load(str(path), activations))
        assert isinstance(reply, Loaded)
        return reply

    def ended(self) -> int:
        return self.process.wait(WAIT_SECONDS)

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def start_child(*options: str) -> Child:
        children.append(Child(*options))
        return children[-1]

    yield start_child
    for child in children:
        child.close()


@pytest.fixture
def child(start: Callable[..., Child]) -> Child:
    return start()


def generated(reply: Reply) -> Generated:
    assert isinstance(reply, Generated)
    return reply


def failed(reply: Reply) -> Failed:
    assert isinstance(reply, Failed)
    assert "\n" not in reply.message
    return reply


def test_load_tells_what_was_loaded(child: Child) -> None:
    loaded = child.loaded()
    assert (loaded.sha256, loaded.quantisation) == (MODEL.sha256, "Q4_0")
    assert (loaded.file_bytes, loaded.name, loaded.context) == (MODEL.file_bytes, "Stories 260K", 256)
    assert (loaded.engine, loaded.activations, loaded.kv_cache) == ("tinyprof-numpy", "int8", "f32")
    assert "numpy" in loaded.engine_build
    assert loaded.engine_build.endswith("1 thread")
    assert loaded.load_ms > 0
    unquantized = child.loaded("int8", shipped_model("stories260k-f32").path)
    assert (unquantized.quantisation, unquantized.activations) == ("F32", "float32")


@pytest.mark.parametrize("activations", ["float32", "int8"])
def test_run_matches_golden_and_is_timed_in_order(child: Child, activations: Activations) -> None:
    child.loaded(activations)
    # Where a token leads by less, OpenBLAS's kernel for an old processor chooses the other one.
    cases = [c for c in shipped_golden().cases(MODEL.sha256, activations, "f32") if c.least_margin > 0.01]
    assert len(cases) >= 3
    for repetition, case in enumerate(cases):
        before = child.ask(Ping())
        run = generated(child.ask(Generate(repetition, case.prompt, len(case.tokens))))
        after = child.ask(Ping())
        assert run.repetition == repetition
        assert run.tokens == case.tokens
        assert run.text.decode() == case.text
        assert (run.prompt_tokens, run.stopped) == (len(case.prompt_tokens), "limit")
        assert isinstance(before, Pong)
        assert isinstance(after, Pong)
        stamps = [before.clock_ns, run.t0_ns, *run.token_ns, after.clock_ns]
        assert stamps == sorted(stamps)
        assert len(run.token_ns) == len(run.tokens) == len(set(run.token_ns))
        assert run.clock == before.clock
        assert run.cpu_ns > 0
        assert run.rss_peak_bytes > 10_000_000


def test_run_goes_on_to_the_end_of_the_story_or_the_context(child: Child) -> None:
    child.loaded()
    run = generated(child.ask(Generate(1, "One day", 65536)))
    assert run.stopped == ("eos" if run.tokens[-1] == 2 else "limit")
    assert run.tokens[-1] == 2 or run.prompt_tokens + len(run.tokens) == 256


def test_streamed_tokens_are_those_of_the_run(child: Child) -> None:
    child.loaded()
    child.send(Generate(7, "Once upon a time", 20, stream=True))
    made = []
    while isinstance(reply := child.receive(), TokenMade):
        made.append(reply)
    run = generated(reply)
    assert [one.index for one in made] == list(range(20))
    assert tuple(one.token for one in made) == run.tokens
    assert tuple(one.clock_ns for one in made) == run.token_ns
    assert b"".join(one.text for one in made) == run.text
    assert {one.repetition for one in made} == {7}


def test_abort_ends_the_run_between_tokens(child: Child) -> None:
    child.loaded()
    child.send(Generate(3, "The little dog", 240), Abort(), Generate(4, "One day", 2))
    run = generated(child.receive())
    assert (run.repetition, run.stopped) == (3, "aborted")
    assert len(run.tokens) == 1
    following = generated(child.receive())
    assert (following.repetition, following.stopped, len(following.tokens)) == (4, "limit", 2)


def test_requests_during_a_run_are_answered_between_tokens(child: Child) -> None:
    child.loaded()
    during = (Ping(), Generate(6, "One day", 2), Load(str(MODEL.path), "int8"))
    child.send(Generate(5, "Once upon a time", 200), *during)
    pong = child.receive()
    assert isinstance(pong, Pong)
    busy = [failed(child.receive()) for _ in range(2)]
    assert [(one.code, one.repetition) for one in busy] == [("busy", 6), ("busy", None)]
    run = generated(child.receive())
    assert run.token_ns[0] < pong.clock_ns < run.token_ns[1]


def test_a_cache_in_float16_says_so_and_gives_its_own_golden_output(child: Child) -> None:
    loaded = child.ask(Load(str(MODEL.path), "int8", kv_cache="f16"))
    assert isinstance(loaded, Loaded)
    assert loaded.kv_cache == "f16"
    case, exact = (shipped_golden().case(MODEL.sha256, "int8", cache, "One day") for cache in ("f16", "f32"))
    assert case is not None
    assert exact is not None
    run = generated(child.ask(Generate(1, "One day", 64)))
    assert (run.tokens, run.text.decode()) == (case.tokens, case.text)
    assert run.tokens != exact.tokens


def test_abort_without_a_run_is_ignored(child: Child) -> None:
    child.loaded()
    child.send(Abort(), Ping())
    assert isinstance(child.receive(), Pong)


def test_failures_are_one_line_and_the_process_goes_on(child: Child, tmp_path: Path) -> None:
    corrupt = tmp_path / "corrupt.gguf"
    corrupt.write_bytes(MODEL.path.read_bytes()[:20_000])
    assert failed(child.ask(Generate(9, "One day", 5))) == Failed("no_model", "no model is loaded", 9)
    missing = failed(child.ask(Load(str(tmp_path / "none.gguf"), "int8")))
    assert missing.code == "model_missing"
    assert "none.gguf" in missing.message
    assert failed(child.ask(Load(str(corrupt), "int8"))).code == "model_corrupt"
    assert failed(child.ask(Load(str(tmp_path), "int8"))).code == "model_missing"
    child.loaded()
    assert generated(child.ask(Generate(10, "One day", 5))).stopped == "limit"


@pytest.mark.parametrize("prompt", ["dog " * 300, "x" * 65536], ids=["by tokens", "by bytes"])
def test_prompt_longer_than_the_context_is_refused(child: Child, prompt: str) -> None:
    child.loaded()
    reply = failed(child.ask(Generate(11, prompt, 5)))
    assert (reply.code, reply.repetition) == ("prompt_too_long", 11)
    assert "256" in reply.message


def test_bytes_that_are_no_request_are_answered_and_passed_over(child: Child) -> None:
    for body in (b"", b"\xc1", b"\x81\xa4type\xa4jump", b"\xdd\xff\xff\xff\xff"):
        child.send_bytes(len(body).to_bytes(4, "big") + body)
        assert failed(child.receive()).code == "bad_request"
    assert isinstance(child.ask(Ping()), Pong)


def test_frame_over_the_limit_ends_the_process(child: Child) -> None:
    child.send_bytes((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    assert child.ended() == 1
    assert child.errors().count("\n") == 1


def test_quit_ends_the_process(child: Child) -> None:
    child.send(Quit())
    assert child.ended() == 0


def test_quit_during_a_run_ends_the_process(child: Child) -> None:
    child.loaded()
    child.send(Generate(1, "One day", 200), Quit())
    assert child.ended() == 0


def test_closed_stdin_ends_the_process(child: Child) -> None:
    assert isinstance(child.ask(Ping()), Pong)
    child.stdin.close()
    assert child.ended() == 0
    assert child.errors() == ""


def test_closed_stdin_during_a_run_ends_the_process(child: Child) -> None:
    child.loaded()
    child.send(Generate(1, "One day", 200))
    child.stdin.close()
    assert child.ended() == 0


def test_idle_process_ends_by_itself(start: Callable[..., Child]) -> None:
    child = start("--idle-seconds", "0.2")
    assert child.ended() == 0
    assert child.errors() == ""


def test_interrupt_is_the_parents_affair(child: Child) -> None:
    assert isinstance(child.ask(Ping()), Pong)
    child.process.send_signal(signal.SIGINT)
    assert isinstance(child.ask(Ping()), Pong)


def test_parent_that_does_not_read_is_not_waited_for_for_ever(start: Callable[..., Child]) -> None:
    child = start("--send-seconds", "0.2")
    child.loaded()
    begin = time.monotonic()
    os.set_blocking(child.stdin.fileno(), False)
    request = frame(Ping())
    while child.process.poll() is None and time.monotonic() - begin < WAIT_SECONDS:
        _, writable, _ = select.select([], [child.stdin], [], 0.1)
        try:
            if writable:
                os.write(child.stdin.fileno(), request * 1000)
        except BrokenPipeError:
            break
    assert child.ended() == 0

"""The driver against the real soft board, a process with the real model, over a real pseudo-terminal."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tinyprof_agent.drivers.driver import BoardError, Driver, Generation
from tinyprof_agent.drivers.probe import Options, make
from tinyprof_models.golden import Case, shipped_golden

GO = threading.Event()
MODEL = "stories260k-q4_0"


@dataclass
class Board:
    """A soft board that runs, and where it is."""

    process: "subprocess.Popen[str]"
    port: str

    def next_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def driver(self, **options: object) -> Driver:
        settings = {"port": self.port, "reset": "none", **options}
        return make("soft", Options(**settings), time.monotonic_ns)  # type: ignore[arg-type]


StartBoard = Callable[..., Board]


@pytest.fixture
def start_board() -> Iterator[StartBoard]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> Board:
        command = [sys.executable, "-m", "tinyprof_agent.soft_board", "--model", MODEL, "--end-with-stdin", *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        board = Board(process, "")
        board.port = board.next_line()
        assert board.port.startswith("/dev/")
        return board

    yield start
    for process in started:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(20)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture
def opened() -> Iterator[Callable[[Driver], Driver]]:
    drivers: list[Driver] = []

    def keep(driver: Driver) -> Driver:
        drivers.append(driver)
        driver.open()
        return driver

    yield keep
    for driver in drivers:
        driver.close()


def golden_case(activations: str = "float32") -> Case:
    sha256 = shipped_golden().models[f"{MODEL}.gguf"].sha256
    return shipped_golden().cases(sha256, activations, "f32")[0]  # type: ignore[arg-type]


def generate(driver: Driver, prompt: str, max_tokens: int, timeout_s: float = 30) -> Generation:
    return driver.generate(prompt, max_tokens, timeout_s=timeout_s, cancelled=GO)


def says_the_golden(driver: Driver, activations: str = "float32") -> bool:
    case = golden_case(activations)
    made = generate(driver, case.prompt, len(case.tokens))
    return (tuple(made.tokens), made.text.decode(), made.missing_tokens) == (case.tokens, case.text, 0)


def test_the_real_model_says_the_golden_output_with_real_times(
    start_board: StartBoard, opened: Callable[[Driver], Driver]
) -> None:
    driver = start_board("--id", "soft-7").driver()
    info = driver.open()
    driver.close()
    assert (info.identity, info.host_clock, info.ram_is_rss) == ("soft-7", False, True)
    assert (info.build.platform, info.build.emulated, info.build.timing, info.build.model) == (
        "host",
        False,
        "device",
        MODEL,
    )
    assert info.build.model_sha256 == shipped_golden().models[f"{MODEL}.gguf"].sha256
    assert (info.build.quantisation, info.build.kv_cache, info.build.activations) == ("Q4_0", "f32", "float32")
    opened(driver)
    case = golden_case()
    before = time.monotonic_ns()
    made = generate(driver, case.prompt, len(case.tokens))
    host_ns = time.monotonic_ns() - before
    assert tuple(made.tokens) == case.tokens
    assert made.text.decode() == case.text
    assert made.prompt_tokens == len(case.prompt_tokens)
    times = [made.t0_ns, *made.token_ns]
    assert times == sorted(set(times))
    assert 0 < times[-1] - times[0] < host_ns
    assert made.ram_peak_bytes is not None
    assert 10 * 2**20 < made.ram_peak_bytes < 2**30


def test_int8_activations_say_their_own_golden_output(
    start_board: StartBoard, opened: Callable[[Driver], Driver]
) -> None:
    assert says_the_golden(opened(start_board("--activations", "int8").driver()), "int8")


def test_round_trips_agree_with_the_hosts_clock_though_the_counter_wraps(
    start_board: StartBoard, opened: Callable[[Driver], Driver]
) -> None:
    # 21 bits at 1 MHz wrap every 2.1 s; the gap between the round trips is filled with runs.
    driver = opened(start_board("--tick-hz", "1000000", "--tick-bits", "21").driver())
    first = driver.round_trip()
    while time.monotonic_ns() - first.sent_ns < 2_500_000_000:
        assert says_the_golden(driver)
    last = driver.round_trip()
    host_ns = last.received_ns - first.sent_ns
    spare_ns = (first.received_ns - first.sent_ns) + (last.received_ns - last.sent_ns)
    # Two clocks of one machine: what they differ by is within the round trips, and their rates may be steered apart.
    assert abs((last.board_ns - first.board_ns) - host_ns) <= spare_ns + host_ns // 1000


def test_a_long_prompt_in_small_pieces(start_board: StartBoard, opened: Callable[[Driver], Driver]) -> None:
    board = start_board("--rx-max", "64")
    prompt = "Once upon a time there was a little girl named Lily. She liked to play in the park with a red ball. " * 4
    driver = opened(board.driver())
    made = generate(driver, prompt, 4)
    driver.close()
    driver = opened(start_board().driver())
    whole = generate(driver, prompt, 4)
    assert made.prompt_tokens == whole.prompt_tokens > 100
    assert made.tokens == whole.tokens


@pytest.mark.parametrize(
    ("fault", "counter"),
    [
        ("lose-group:2", "resends_asked"),
        ("bad-crc", "bad_crc"),
        ("babble:3", "log_bytes"),
        ("noise:2", "log_bytes"),
        ("lose-end", "resends_asked"),
    ],
)
def test_the_output_is_whole_whatever_the_line_does(
    start_board: StartBoard, opened: Callable[[Driver], Driver], fault: str, counter: str
) -> None:
    driver = opened(start_board("--fault", fault).driver())
    assert says_the_golden(driver)
    assert driver.counters.counts[counter] >= 1
    assert says_the_golden(driver)


def test_a_reset_in_the_middle_of_a_run(start_board: StartBoard, opened: Callable[[Driver], Driver]) -> None:
    driver = opened(start_board("--fault", "reset-mid-run").driver())
    with pytest.raises(BoardError) as error:
        says_the_golden(driver)
    assert error.value.code == "reset"
    assert says_the_golden(opened(driver))


def test_a_hung_board_times_out_and_its_reset_command_brings_it_back(
    start_board: StartBoard, opened: Callable[[Driver], Driver], tmp_path: Path
) -> None:
    link = tmp_path / "board"
    start_board("--fault", "hang", "--link", str(link))
    command = [sys.executable, "-m", "tinyprof_agent.soft_board", "--press-reset", str(link)]
    settings = Options(port=str(link), reset=command, open_s=10)
    driver = opened(make("soft", settings, time.monotonic_ns))
    with pytest.raises(BoardError, match="did not end within 1 s") as error:
        generate(driver, "Once", 16, timeout_s=1)
    assert error.value.code == "timeout"
    driver.reset()
    assert says_the_golden(opened(driver))


def test_a_board_that_is_unplugged_and_plugged_in_again(
    start_board: StartBoard, opened: Callable[[Driver], Driver], tmp_path: Path
) -> None:
    link = tmp_path / "board"
    board = start_board("--fault", "gone", "--link", str(link))
    driver = opened(make("soft", Options(port=str(link), reset="none"), time.monotonic_ns))
    with pytest.raises(BoardError, match="went away") as error:
        says_the_golden(driver)
    assert error.value.code == "gone"
    assert board.next_line() == str(link.readlink())
    assert says_the_golden(opened(driver))


def test_another_version(start_board: StartBoard) -> None:
    driver = start_board("--fault", "wrong-version").driver()
    with pytest.raises(BoardError) as error:
        driver.open()
    assert error.value.code == "version"
    driver.open()
    driver.close()


def test_a_host_that_hangs_up_in_the_middle_does_not_end_the_board(
    start_board: StartBoard, opened: Callable[[Driver], Driver]
) -> None:
    board = start_board()
    impatient = opened(board.driver())
    with pytest.raises(BoardError, match="did not end"):
        generate(impatient, "Once", 200, timeout_s=0.001)
    impatient.close()
    assert says_the_golden(opened(board.driver()))


def test_a_port_is_held_by_one(start_board: StartBoard, opened: Callable[[Driver], Driver]) -> None:
    board = start_board()
    opened(board.driver())
    with pytest.raises(BoardError, match="in use by another program") as error:
        board.driver().open()
    assert error.value.code == "busy"


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="there is no port") as error:
        make("none", Options(port=str(tmp_path / "none")), time.monotonic_ns).open()
    assert error.value.code == "gone"


@pytest.fixture
def dead_line() -> Iterator[str]:
    """A terminal at whose other end nobody is."""
    far, near = pty.openpty()
    tty.setraw(near)
    yield os.ttyname(near)
    os.close(near)
    os.close(far)


def test_a_silent_port(dead_line: str) -> None:
    driver = make("silent", Options(port=dead_line, reset="dtr", open_s=0.3, answer_s=0.1), time.monotonic_ns)
    with pytest.raises(BoardError, match=r"no answer in 0\.3 s") as error:
        driver.open()
    assert error.value.code == "silent"


def test_a_terminal_has_no_reset_lines(dead_line: str) -> None:
    driver = make("silent", Options(port=dead_line, reset="dtr"), time.monotonic_ns)
    with pytest.raises(BoardError, match="no DTR and RTS lines") as error:
        driver.reset()
    assert error.value.code == "refused"


@pytest.mark.parametrize("command", [["false"], ["/nowhere/reset"]])
def test_a_reset_command_that_fails_is_one_line(dead_line: str, command: list[str]) -> None:
    driver = make("silent", Options(port=dead_line, reset=command), time.monotonic_ns)
    with pytest.raises(BoardError, match="reset command") as error:
        driver.reset()
    assert error.value.code == "refused"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_takes_its_link_away(start_board: StartBoard, tmp_path: Path, number: int) -> None:
    link = tmp_path / "board"
    board = start_board("--link", str(link))
    assert str(link.readlink()) == board.port
    board.process.send_signal(number)
    assert board.process.wait(20) == 0
    assert list(tmp_path.iterdir()) == []


def test_it_ends_with_its_parent(start_board: StartBoard) -> None:
    board = start_board()
    assert board.process.stdin is not None
    board.process.stdin.close()
    assert board.process.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "/nowhere/model.gguf"], "cannot read /nowhere/model.gguf"),
        (["--rx-max", "10"], "Expected `int` >= 64"),
        (["--fault", "earthquake"], "there is no fault 'earthquake'"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], says: str) -> None:
    command = [sys.executable, "-m", "tinyprof_agent.soft_board", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_driver_loads_neither_numpy_nor_the_soft_board() -> None:
    loaded = (
        "import sys, tinyprof_agent.drivers.probe; "
        "print(any(name.split('.')[0] == 'numpy' or 'soft_board' in name for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"

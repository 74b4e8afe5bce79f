"""An emulated board from end to end, with a soft board as its emulator: started, paused, judged, ended."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tinyprof_agent.drivers.driver import BadOptions, BoardError, Cancelled
from tinyprof_agent.drivers.emulated import Options, make
from tinyprof_agent.drivers.emulated.emulator import free_loopback_port, listens
from tinyprof_agent.profiling.run import RunPlan, Surroundings, run
from tinyprof_platforms.suites import shipped_suites
from tinyprof_protocol.records import Result

NEVER = threading.Event()


def measured(driver, cancelled=NEVER) -> Result:
    info = driver.open()
    plan = RunPlan(bytes(16), "virtual-1", "emulated", shipped_suites()["emulated"])
    return run(driver, info, plan, Surroundings(time.monotonic_ns, {}), cancelled).result


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_for(condition, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists() or state_of(pid) in "ZX"


def test_a_run_gives_counts_and_says_what_it_is(make_emulated) -> None:
    result = measured(make_emulated())
    assert (result.verdict, result.reasons) == ("valid", [])
    assert (result.build.emulated, result.build.stands_for, result.clock.check) == (True, "nothing-real", "emulated")
    assert result.figures["instructions_per_token"].value == 10_000
    assert result.figures["instructions_to_first_token"].value == 50_000
    assert "ttft_ms" not in result.figures, "of an unknown part nothing is estimated"
    assert (result.itl_us, result.itl_dropped, result.timed_s, len(result.repetitions)) == ([], 30, 0.0, 2)
    assert [(one.ttft_ms, one.first_count, one.decode_count) for one in result.repetitions] == [(None, 5e4, 15e4)] * 2


def test_counts_that_do_not_agree_are_invalid(make_emulated) -> None:
    result = measured(make_emulated("--uneven", "10"))
    assert result.verdict == "invalid"
    assert "differ by more than 0.01%" in result.reasons[0]


@pytest.mark.parametrize("read_back", ["1.002", "0.998", "2"])
def test_a_loop_that_reads_back_wrong_is_invalid(make_emulated, read_back: str) -> None:
    result = measured(make_emulated("--read-back", read_back))
    assert (result.verdict, result.clock.check) == ("invalid", "failed")
    assert "a loop of 2000000 instructions read back as" in result.reasons[0]


def test_an_emulator_that_counts_nothing_vouches_for_output_and_sizes_alone(make_emulated) -> None:
    result = measured(make_emulated(counts="nothing"))
    assert (result.verdict, result.clock.check) == ("valid", "unchecked")
    assert set(result.figures) <= {"ram_peak_bytes", "output_tokens", "prompt_tokens"}
    assert [(one.ttft_ms, one.first_count) for one in result.repetitions] == [(None, None)] * 2


def test_it_stands_still_between_calls_and_goes_on_for_each(make_emulated) -> None:
    driver = make_emulated()
    driver.open()
    pid = driver.emulator_pid
    assert wait_for(lambda: state_of(pid) == "T")
    used = Path(f"/proc/{pid}/schedstat").read_text().split()[0]
    generation = driver.generate("One day", 4, timeout_s=20, cancelled=NEVER)
    assert generation.tokens == [100, 101, 102, 103]
    assert wait_for(lambda: state_of(pid) == "T")
    assert Path(f"/proc/{pid}/schedstat").read_text().split()[0] != used


def test_reset_ends_it_and_opening_starts_another(make_emulated) -> None:
    driver = make_emulated()
    driver.open()
    first = driver.emulator_pid
    driver.reset()
    assert gone(first)
    driver.open()
    assert driver.emulator_pid not in (None, first)
    last = driver.emulator_pid
    driver.close()
    driver.close()
    assert gone(last)
    with pytest.raises(BoardError, match="is not running"):
        driver.round_trip()


def test_a_hang_times_out_and_a_reset_brings_it_back(make_emulated) -> None:
    driver = make_emulated("--fault", "hang:1")
    driver.open()
    with pytest.raises(BoardError, match="did not end within 1 s"):
        driver.generate("One day", 4, timeout_s=1, cancelled=NEVER)
    driver.reset()
    driver.open()


def test_a_cancelled_run_stops_it(make_emulated) -> None:
    driver = make_emulated("--slow-s", "0.02")
    driver.open()
    cancelled = threading.Event()
    timer = threading.Timer(0.2, cancelled.set)
    timer.start()
    with pytest.raises(Cancelled):
        driver.generate("One day", 256, timeout_s=60, cancelled=cancelled)
    timer.join()


def test_an_emulator_that_is_killed_is_named_as_that(make_emulated) -> None:
    driver = make_emulated()
    driver.open()
    os.kill(driver.emulator_pid, signal.SIGKILL)
    with pytest.raises(BoardError, match=r"the emulator ended \(exit code -9\)") as caught:
        driver.generate("One day", 4, timeout_s=20, cancelled=NEVER)
    assert caught.value.code == "lost"


def test_an_emulator_that_does_not_start_says_its_last_words(make_emulated) -> None:
    with pytest.raises(BoardError, match=r"the emulator ended \(exit code 1\): no such machine"):
        make_emulated("--die-with", "no such machine").open()


def test_a_processor_that_locks_up_is_named_before_its_registers(make_emulated) -> None:
    with pytest.raises(BoardError, match=r"exit code 1\): qemu: fatal: Lockup"):
        make_emulated("--die-with", "qemu: fatal: Lockup\n\nR00=00000000\nFPSCR: 00000000").open()


def test_a_port_that_was_taken_meanwhile_is_left_for_another(make_emulated, tmp_path: Path) -> None:
    driver = make_emulated("--die-once", str(tmp_path / "died"))
    assert driver.open().build.emulated
    assert (tmp_path / "died").exists()


def test_what_is_missing_is_one_line_that_says_what_to_do(make_emulated, tmp_path: Path) -> None:
    driver = make_emulated()
    image = tmp_path / "firmware" / "build" / "virtual" / "firmware.elf"
    image.unlink()
    with pytest.raises(BoardError, match=r"firmware\.elf is not there: make -C firmware TARGET=virtual"):
        driver.open()
    file = tmp_path / "firmware" / "targets" / "virtual" / "target.toml"
    file.write_text(file.read_text().replace('program = "sh"', 'program = "no-such-program"'))
    options = Options(target="virtual", firmware_dir=str(tmp_path / "firmware"))
    driver = make("virtual-1", options, time.monotonic_ns)
    with pytest.raises(BoardError, match="no-such-program is not installed: apt install some-emulator"):
        driver.open()


def test_a_target_that_there_is_not_is_a_bad_option(make_emulated, tmp_path: Path) -> None:
    make_emulated()
    with pytest.raises(BadOptions, match="no target is called 'abacus'; there are virtual"):
        make("a", Options(target="abacus", firmware_dir=str(tmp_path / "firmware")), time.monotonic_ns)


def test_the_firmware_of_another_target_is_refused(make_emulated, tmp_path: Path) -> None:
    make_emulated()
    file = tmp_path / "firmware" / "targets" / "virtual" / "target.toml"
    file.write_text(file.read_text().replace('platform = "host"', 'platform = "stm32f405"'))
    driver = make("v", Options(target="virtual", firmware_dir=str(tmp_path / "firmware")), time.monotonic_ns)
    with pytest.raises(BoardError, match="the image is built for host, the target is stm32f405"):
        driver.open()
    assert driver.emulator_pid is None


def test_a_listener_of_another_process_is_not_taken_for_the_emulators() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listens(os.getpid(), port)
        assert not listens(1, port)
    assert not listens(os.getpid(), free_loopback_port())


def test_an_agent_that_is_killed_leaves_no_emulator_behind(make_emulated, tmp_path: Path) -> None:
    make_emulated()
    program = (
        "import sys, time\n"
        "from tinyprof_agent.drivers.emulated import Options, make\n"
        "driver = make('v', Options(target='virtual', firmware_dir=sys.argv[1]), time.monotonic_ns)\n"
        "driver.open()\n"
        "print(driver.emulator_pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    agent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "firmware")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    pid = int(agent.stdout.readline())
    assert wait_for(lambda: state_of(pid) == "T")
    agent.kill()
    agent.communicate()
    assert wait_for(lambda: gone(pid))


def test_in_a_long_call_it_lets_others_work_and_its_time_limit_does_not_count_that(make_emulated) -> None:
    driver = make_emulated("--slow-s", "0.3")
    driver.open()
    stood_still = []

    def others() -> None:
        stood_still.append(wait_for(lambda: state_of(driver.emulator_pid) == "T"))
        time.sleep(2)

    driver.let_others = others
    generation = driver.generate("One day", 8, timeout_s=5, cancelled=NEVER)
    assert len(generation.tokens) == 8
    assert len(stood_still) >= 2
    assert all(stood_still)

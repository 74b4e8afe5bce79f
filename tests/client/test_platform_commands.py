"""`platforms`, `fit` and `golden` as commands: what they print and how they exit."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tinyprof.cli import tinyprof
from tinyprof_models.catalogue import shipped_model
from tinyprof_models.golden import read_golden, shipped_golden
from tinyprof_platforms.catalogue import shipped_platforms

MODEL = shipped_model("stories260k-q4_0")


def invoked(*arguments: str) -> Result:
    return CliRunner().invoke(tinyprof, arguments, standalone_mode=True)


def ran(*arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": path} if path else None
    command = [sys.executable, "-m", "tinyprof", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def test_platforms_lists_each_and_this_machine() -> None:
    lines = invoked("platforms").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [*shipped_platforms(), "host"]


def test_platforms_shows_the_sources_of_one() -> None:
    text = invoked("platforms", "stm32f4").stdout
    assert text.startswith("stm32f405 (also stm32f4): STM32F405, Cortex-M4F")
    entry = shipped_platforms()["stm32f405"]
    assert entry.weights_bytes_s is not None
    for source in (entry.weights_bytes_s.source, entry.flash.source, *(region.source for region in entry.ram)):
        assert source in text
    assert "65,536  not for the firmware" in text
    told = json.loads(invoked("platforms", "rp2040", "--json").stdout)["platforms"]
    assert told["rp2040"]["ram_bytes"] == 270_336
    assert told["rp2040"]["clock_hz"]["value"] == 125e6


def test_a_wrong_platform_is_wrong_use() -> None:
    for arguments in (("platforms", "pico"), ("fit", MODEL.name, "--platform", "pico")):
        result = invoked(*arguments)
        assert result.exit_code == 2
        assert "no platform is called 'pico'; there are esp32, " in result.stderr


def test_fit_exits_by_whether_it_fits_and_says_what_would_help() -> None:
    fits = invoked("fit", str(MODEL.path), "--platform", "stm32f405", "--kv", "q8_0")
    assert fits.exit_code == 0
    assert "fits\n" in fits.stdout
    short = invoked("fit", MODEL.name, "--platform", "stm32f405")
    assert short.exit_code == 1
    assert "does not fit: RAM: " in short.stdout
    assert "would help: a cache in q8_0 (--kv q8_0): " in short.stdout


def test_fit_lists_every_platform_and_fails_where_one_does_not_fit() -> None:
    result = invoked("fit", MODEL.name)
    assert result.exit_code == 1
    fitting = {line.split()[0]: line for line in result.stdout.splitlines()[2:]}
    assert set(fitting) == {*shipped_platforms(), "host"}
    assert " yes " in fitting["rp2040"]
    assert " no " in fitting["esp8266"]
    assert "not known" in fitting["host"]


def test_fit_in_json_has_every_part() -> None:
    result = invoked("fit", MODEL.name, "--platform", "rp2040", "--ctx", "128", "--kv", "f32", "--json")
    told = json.loads(result.stdout)["platforms"]["rp2040"]
    assert (told["fits"], told["ctx"], told["kv_cache"]) == (True, 128, "f32")
    assert told["ram"]["kv_cache"] == 128 * 1280
    parts = ("kv_cache", "activations", "buffers", "stack", "weights")
    assert told["ram"]["total"] == sum(told["ram"][part] for part in parts)
    assert told["flash"]["weights"] == MODEL.file_bytes
    assert told["bound"]["tps"] > told["bound_full"]["tps"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("none.gguf",), "model 'none.gguf' is neither a file nor one of stories260k-f32, "),
        ((__file__,), "does not begin with 'GGUF'"),
        ((MODEL.name, "--ctx", "999"), "256 positions; 999 is not within"),
    ],
)
def test_fit_used_wrongly_says_so_in_one_line(arguments: tuple[str, ...], says: str) -> None:
    result = invoked("fit", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_fit_and_platforms_need_no_numpy(tmp_path: Path) -> None:
    for name in ("numpy", "gguf"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('no {name}', name='{name}')\n")
    assert ran("fit", MODEL.name, "--platform", "rp2040", path=str(tmp_path)).returncode == 0
    assert ran("platforms", path=str(tmp_path)).returncode == 0
    golden = ran("golden", str(MODEL.path), path=str(tmp_path))
    assert golden.returncode == 1
    assert "needs numpy: pip install 'tinyprof[demo]'" in golden.stderr
    assert golden.stderr.count("\n") == 1


def test_golden_takes_a_shipped_name_as_fit_does() -> None:
    result = invoked("golden", MODEL.name, "--prompt", "Hi", "--tokens", "2")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f'{{\n "{MODEL.path.name}"')


def test_a_large_bound_is_written_out() -> None:
    result = invoked("fit", MODEL.name, "--platform", "jetson-nano")
    assert re.search(r"at most \d\d,\d{3} tokens/s", result.stdout), result.stdout


def test_golden_writes_a_file_that_agents_read(tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    prompt = 'say "[1,  2]"'
    result = invoked(
        "golden", str(MODEL.path), "--prompt", "One day", "--prompt", prompt, "--tokens", "4", "--out", str(out)
    )
    assert result.exit_code == 0, result.stderr
    golden = read_golden(out)
    assert [len(output.cases) for output in golden.models[MODEL.path.name].outputs] == [2] * 6
    for activations, cache in (("float32", "f32"), ("int8", "q8_0")):
        ours = golden.case(MODEL.sha256, activations, cache, "One day")
        shipped = shipped_golden().case(MODEL.sha256, activations, cache, "One day")
        assert ours is not None
        assert shipped is not None
        assert ours.tokens == shipped.tokens[:4]
        assert golden.case(MODEL.sha256, activations, cache, prompt) is not None
    assert "int8" in result.stdout


def test_golden_prints_the_file_or_one_line_of_json() -> None:
    arguments = ("golden", str(MODEL.path), "--prompt", "One day", "--tokens", "2")
    plain, line = invoked(*arguments).stdout, invoked(*arguments, "--json").stdout
    assert json.loads(plain) == json.loads(line)
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("none.gguf",), 2, "cannot read none.gguf"),
        ((__file__,), 1, "does not begin with 'GGUF'"),
        ((str(MODEL.path), "--prompt", ""), 2, "a prompt is empty"),
        ((str(MODEL.path), "--prompt", "dog " * 300), 2, "exceed the context of 256"),
    ],
)
def test_golden_used_wrongly_says_so_in_one_line(arguments: tuple[str, ...], code: int, says: str) -> None:
    result = invoked("golden", *arguments)
    assert result.exit_code == code
    assert says in result.stderr
    assert result.stderr.count("\n") == 1

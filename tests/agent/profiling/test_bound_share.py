"""`bound_pct`: which boards have one, and of what it is a share."""

import dataclasses
import hashlib
from pathlib import Path

import msgspec
import pytest

from tinyprof_agent.config import load_config
from tinyprof_agent.drivers.driver import BoardInfo, Generation
from tinyprof_agent.model_files import BadModelFile, shapes_of_files, shipped_shape
from tinyprof_agent.profiling.bound import bound_figures, platform_bound_tps
from tinyprof_agent.profiling.metrics import timings
from tinyprof_agent.profiling.rounds import Observed, Round
from tinyprof_models.catalogue import shipped_model
from tinyprof_platforms.catalogue import find_platform
from tinyprof_platforms.engine_memory import Arithmetic
from tinyprof_platforms.fit import bound
from tinyprof_protocol.records import Build

MODEL = shipped_model("stories260k-q4_0")
BUILD = Build(
    platform="stm32f405", engine="tinyprof-c", engine_build="b", model=MODEL.name, model_sha256=MODEL.sha256,
    quantisation="Q4_0", kv_cache="q8_0", activations="int8", ctx=256, timing="device",
)  # fmt: skip
BOARD = BoardInfo(BUILD, "", 168_000_000, host_clock=False)
HOST = BoardInfo(msgspec.structs.replace(BUILD, platform="host"), "", 10**9, host_clock=True,
                 weight_bytes=1_000_000, read_bytes_s=4e9)  # fmt: skip


def rounds(gap_ms: float) -> list[Round]:
    """Two rounds of 10 prompt and 21 output tokens."""
    stamps = [round(1e6 * (5 + gap_ms * n)) for n in range(21)]
    generation = Generation(0, stamps, [1] * 21, 10, b"", "limit")
    return [[Observed(0, generation, timings(generation))]] * 2


def share(info: BoardInfo, gap_ms: float = 10) -> float | None:
    found = bound_figures(rounds(gap_ms), info, shipped_shape)
    return found["bound_pct"].value if found else None


def test_a_real_board_has_its_share_of_the_platforms_bound_at_the_mean_position() -> None:
    shape = shipped_shape(MODEL.sha256)
    assert shape is not None
    at_best = bound(shape, find_platform("stm32f405")[1], Arithmetic(256, "q8_0", "int8"), 10 + 21 / 2)
    assert at_best is not None
    assert share(BOARD) == pytest.approx(100 * 100 / at_best.tps)
    assert bound_figures(rounds(10), BOARD, shipped_shape)["bound_pct"].n == 2


def test_the_host_has_its_share_of_what_was_measured() -> None:
    assert share(HOST) == pytest.approx(100 * 100 / 4000)
    assert share(dataclasses.replace(HOST, read_bytes_s=None)) is None
    assert share(dataclasses.replace(HOST, weight_bytes=None)) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"emulated": True},
        {"timing": "client"},
        {"timing": "engine"},
        {"platform": "board-of-mine"},
        {"platform": "host"},
        {"model_sha256": "0" * 64},
        {"kv_cache": "q4_0"},
        {"activations": "bf16"},
    ],
)
def test_what_is_not_known_or_not_measured_has_no_share(changed: dict[str, object]) -> None:
    assert share(dataclasses.replace(BOARD, build=msgspec.structs.replace(BUILD, **changed))) is None


def test_a_single_token_has_no_share() -> None:
    generation = Generation(0, [5_000_000], [1], 10, b"", "limit")
    one = [[Observed(0, generation, timings(generation))]]
    assert bound_figures(one, BOARD, shipped_shape) == {}


def test_models_that_the_configuration_names_are_known_by_their_sha256(tmp_path: Path) -> None:
    mine = tmp_path / "mine.gguf"
    data = MODEL.path.read_bytes().replace(b"Stories 260K", b"Stories 999K")
    mine.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    path = tmp_path / "agent.toml"
    path.write_text(f'model_files = ["{mine}"]\n')
    shape_of = shapes_of_files(load_config(path, {}).model_files)
    build = msgspec.structs.replace(BUILD, model_sha256=sha256)
    assert platform_bound_tps(build, shipped_shape, 0) is None
    assert platform_bound_tps(build, shape_of, 0) == platform_bound_tps(BUILD, shape_of, 0) is not None


def test_a_model_file_of_no_use_is_named(tmp_path: Path) -> None:
    for name, says in (("none.gguf", "No such file"), ("text.gguf", "does not begin with 'GGUF'")):
        (tmp_path / "text.gguf").write_text("text")
        with pytest.raises(BadModelFile, match=says) as raised:
            shapes_of_files([str(tmp_path / name)])
        assert str(raised.value).startswith("model_files: ")
        assert str(tmp_path / name) in str(raised.value)

"""Golden outputs that the configuration names, from a file to the case of a prompt."""

from pathlib import Path

import msgspec
import pytest

from tinyprof_agent.config import AgentConfig, load_config
from tinyprof_agent.golden_files import BadGoldenFile, cases_of_files
from tinyprof_agent.service import run
from tinyprof_models.golden import Case, ModelGolden, Output, shipped_golden
from tinyprof_protocol.records import Build

MINE = "ab" * 32


def build(sha256: str, kv_cache: str = "f16") -> Build:
    return Build(
        platform="p", engine="e", engine_build="b", model="m", model_sha256=sha256, quantisation="Q4_0",
        kv_cache=kv_cache, activations="int8", ctx=256, timing="device",
    )  # fmt: skip


def written(path: Path, sha256: str, prompt: str, token: int) -> str:
    case = Case(prompt, (1, 2), (token,), (0.5,), "x", 0.5)
    model = ModelGolden(1000, sha256, "Q4_0", (Output("int8", "f16", (case,)),))
    path.write_bytes(msgspec.json.encode({"mine.gguf": model}))
    return str(path)


def test_a_model_of_ones_own_is_checked_against_its_file(tmp_path: Path) -> None:
    cases_of = cases_of_files([written(tmp_path / "a.json", MINE, "Hello", 7)])
    assert [(prompt, case.tokens) for prompt, case in cases_of(build(MINE)).items()] == [("Hello", (7,))]
    assert cases_of(build(MINE, "f32")) == {}
    assert cases_of(build("cd" * 32)) == {}


def test_what_ships_is_there_still_and_goes_before_a_file(tmp_path: Path) -> None:
    shipped = shipped_golden().models["stories260k-q4_0.gguf"].sha256
    files = [written(tmp_path / "a.json", shipped, "One day", 7), written(tmp_path / "b.json", shipped, "Hello", 8)]
    cases = cases_of_files(files)(build(shipped))
    assert cases["One day"] == shipped_golden().case(shipped, "int8", "f16", "One day")
    assert cases["Hello"].tokens == (8,)
    assert len(cases) == 5


def test_an_earlier_file_goes_before_a_later_one(tmp_path: Path) -> None:
    files = [written(tmp_path / f"{token}.json", MINE, "Hello", token) for token in (7, 8)]
    assert cases_of_files(files)(build(MINE))["Hello"].tokens == (7,)


def test_a_file_of_no_use_is_named_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{]")
    with pytest.raises(BadGoldenFile, match=r"^golden_files: not a golden file: "):
        cases_of_files([str(broken)])
    with pytest.raises(BadGoldenFile, match=r"^golden_files: cannot read .*none\.json"):
        cases_of_files([str(tmp_path / "none.json")])


def test_the_configuration_names_files_and_the_agent_ends_for_one_of_no_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(f'state_dir = "{tmp_path}"\ngolden_files = ["{tmp_path}/none.json"]\n')
    config = load_config(path, {})
    assert config.golden_files == [f"{tmp_path}/none.json"]
    assert load_config(None, {"TINYPROF_GOLDEN_FILES": "a.json, b.json"}).golden_files == ["a.json", "b.json"]
    assert AgentConfig().golden_files == []
    assert run(config) == 2
    said = capsys.readouterr().err
    assert said.startswith("tinyprof agent: golden_files: cannot read ")
    assert said.count("\n") == 1

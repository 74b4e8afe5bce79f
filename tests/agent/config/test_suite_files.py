"""Suites of one's own in an agent's configuration: offered by name, and one line where a file is wrong."""

from pathlib import Path

from tinyprof.embedded_broker import free_port
from tinyprof_agent.config import AgentConfig, load_config
from tinyprof_agent.service import AgentService, run
from tinyprof_platforms.suites import shipped_suites


def write(folder: Path, suite: str) -> AgentConfig:
    (folder / "night.toml").write_text(suite)
    path = folder / "agent.toml"
    broker, state, night = f"mqtt://127.0.0.1:{free_port()}", folder / "state", folder / "night.toml"
    path.write_text(f'broker = "{broker}"\nstate_dir = "{state}"\nsuite_files = ["{night}"]\n')
    return load_config(path, {})


def test_an_agent_offers_the_suites_of_its_files_beside_those_that_ship(tmp_path: Path) -> None:
    config = write(tmp_path, 'prompts = ["Hello"]\nmax_tokens = 4\nmin_repetitions = 3\n')
    service = AgentService(config)
    service.start()
    status = service.status()
    service.stop()
    assert set(status.offers) == {"night", *shipped_suites()}
    night = next(suite for suite in status.suites if suite.name == "night")
    assert (night.max_tokens, night.min_repetitions) == (4, 3)


def test_a_file_with_a_wrong_key_ends_the_agent_with_a_line_that_names_it(tmp_path: Path, capsys) -> None:
    config = write(tmp_path, 'prompts = ["Hello"]\nmax_token = 4\n')
    assert run(config) == 2
    path = tmp_path / "night.toml"
    said = f"tinyprof agent: suite 'night': {path}: max_token: unknown key; did you mean max_tokens?\n"
    assert capsys.readouterr().err == said

"""The agent's configuration: its own checks, its variables, and a sample that shows every key and works as it is."""

from importlib import resources
from pathlib import Path

import msgspec
import pytest
from sample_file import shown

from tinyprof_agent.boards import BoardConfig, make_driver
from tinyprof_agent.config import AgentConfig, load_config
from tinyprof_agent.identity import default_agent_name
from tinyprof_protocol.configuration import BadConfig, keys_of

SAMPLE = Path(str(resources.files("tinyprof_agent"))) / "agent.sample.toml"


def write(folder: Path, text: str) -> Path:
    path = folder / "agent.toml"
    path.write_text(text)
    return path


def test_without_anything_it_is_named_after_its_machine() -> None:
    config = load_config(None, {})
    assert config.node == f"local.{default_agent_name()}"
    assert config.boards == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('colour = "red"', "colour: unknown key"),
        ("[spool]\ncap = 5", "spool.cap: unknown key"),
        ('[uplink]\nbroker = "x"', "uplink.broker: unknown key; did you mean broker?"),
        ("[spool]\ncap_bytes = 1", "spool.cap_bytes: expected integer >= 1048576"),
        ('[clock]\ntrust = "maybe"', "clock.trust: 'maybe' is none of always, auto"),
        ('site = "Not A Name"', "site: expected a name: 1 to 63 of a-z, 0-9 and '-', not starting with '-'"),
        ('[[boards]]\nname = "a"', "boards[0].driver: is missing"),
        (
            '[[boards]]\nname = "a"\ndriver = "host"\nevery = 1',
            "boards[0].every: unknown key; did you mean boards[0].every_s?",
        ),
        (
            '[[boards]]\nname="a"\ndriver="host"\n[[boards]]\nname="a"\ndriver="host"',
            "boards: two are called 'a'; a board's name is its identity",
        ),
    ],
)
def test_what_is_wrong_is_one_line_with_file_and_key(tmp_path, text, line) -> None:
    path = write(tmp_path, text)
    with pytest.raises(BadConfig) as raised:
        load_config(path, {})
    assert str(raised.value) == f"{path}: {line}"


@pytest.mark.parametrize(
    ("environment", "value"),
    [
        ({"TINYPROF_SITE": "b"}, "b"),
        ({"TINYPROF_SPOOL_CAP_BYTES": "3000000"}, 3_000_000),
        ({"TINYPROF_CLOCK_TRUST": "ALWAYS"}, "always"),
        ({"TINYPROF_BROKER": "mqtt://elsewhere:1999"}, "mqtt://elsewhere:1999"),
        ({"TINYPROF_BROKER_CA_FILE": "/ca.pem"}, "/ca.pem"),
        ({"TINYPROF_HOST_SAMPLE_EVERY_S": "2.5"}, 2.5),
        ({"LOG_LEVEL": "debug"}, "DEBUG"),
        ({"LOG_LEVEL": "debug", "TINYPROF_LOG_LEVEL": "error"}, "ERROR"),
        ({"MAX_WORKERS": "3"}, 3),
    ],
)
def test_the_environment_goes_before_the_file(tmp_path, environment, value) -> None:
    text = 'site = "a"\nlog_level = "info"\nmax_workers = 9\n[spool]\ncap_bytes = 2000000\n[clock]\ntrust = "auto"'
    config = load_config(write(tmp_path, text), environment)
    before = load_config(write(tmp_path, text), {})
    assert [new for new, old in zip(values(config), values(before), strict=True) if new != old] == [value]


def values(config: AgentConfig) -> list[object]:
    """The value of every key, in the keys' order."""
    found = []
    for key in keys_of(AgentConfig):
        held: object = config
        for name in key.path:
            held = getattr(held, name)
        found.append(held)
    return found


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(BadConfig, match=r"^environment variable MAX_WORKERS: max_workers: expected integer >= 0$"):
        load_config(None, {"MAX_WORKERS": "-1"})


def test_no_two_keys_share_a_variable() -> None:
    variables = [key.variable for key in keys_of(AgentConfig)]
    assert len(set(variables)) == len(variables)


def test_the_sample_loads_and_its_board_can_be_made() -> None:
    config = load_config(SAMPLE, {})
    assert msgspec.structs.replace(config, boards=[]) == AgentConfig()
    assert [board.driver for board in config.boards] == ["host"]
    for board in config.boards:
        make_driver(board, lambda: 0).close()


def test_the_sample_shows_every_key_with_its_default() -> None:
    """But `agent`, whose default is the machine's name, and what a board has no default for or none to write."""
    sample = shown(SAMPLE)
    defaults = {str(key): value for key, value in zip(keys_of(AgentConfig), values(AgentConfig()), strict=True)}
    assert sample.pop("agent")[1] is False
    del defaults["agent"], defaults["boards"]
    assert {key: sample[key][0] for key in defaults if key in sample} == defaults
    board = {f"boards.{field.name}": field.default for field in msgspec.structs.fields(BoardConfig)}
    del board["boards.options"]
    assert board.keys() <= sample.keys()
    assert sample["boards.processor"][1] is False
    for key in ("suite", "every_s", "sample_every_s", "enabled"):
        assert sample[f"boards.{key}"][0] == board[f"boards.{key}"]
    assert "[boards.options]" in SAMPLE.read_text()


@pytest.mark.parametrize(
    ("hostname", "name"), [("Bench_1.lan", "bench-1"), ("---", "agent"), ("", "agent"), ("x" * 80, "x" * 63)]
)
def test_a_machines_name_is_made_to_fit(hostname: str, name: str) -> None:
    assert default_agent_name(hostname) == name

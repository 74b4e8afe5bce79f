"""The agent's configuration: what is wrong is said in one line that names the file and the key."""

from importlib import resources
from pathlib import Path

import msgspec
import pytest

from tinyprof_agent.boards import make_driver
from tinyprof_agent.config import AgentConfig, BadConfig, load_config, parse_config
from tinyprof_agent.identity import default_agent_name


def parse(text: str, **environ: str) -> AgentConfig:
    return parse_config(text, "agent.toml", environ)


def test_an_empty_file_is_a_configuration() -> None:
    config = parse("")
    assert config.node == f"local.{default_agent_name()}"
    assert config.boards == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('colour = "red"', "unknown field `colour`"),
        ("[spool]\ncap = 5", "spool: Object contains unknown field `cap`"),
        ('[spool]\ncap_bytes = "big"', "spool.cap_bytes: Expected `int`, got `str`"),
        ("[spool]\ncap_bytes = 1", "spool.cap_bytes: Expected `int` >= 1048576"),
        ('[clock]\ntrust = "maybe"', "clock.trust: Invalid enum value 'maybe'"),
        ('site = "Not A Name"', "site: Expected `str` matching regex"),
        ('[[boards]]\nname = "a"', "boards[0]: Object missing required field `driver`"),
        ('[[boards]]\nname = "a"\ndriver = "host"\nevery = 1', "boards[0]: Object contains unknown field `every`"),
        ('[[boards]]\nname="a"\ndriver="host"\n[[boards]]\nname="a"\ndriver="host"', "two are called 'a'"),
        ('broker = "http://x"', "broker: broker 'http://x' is no address"),
        ("site = ", "Invalid value (at end of document)"),
    ],
)
def test_a_bad_file_is_one_line_that_names_the_file_and_the_key(text: str, line: str) -> None:
    with pytest.raises(BadConfig) as raised:
        parse(text)
    message = str(raised.value)
    assert message.startswith("agent.toml: ")
    assert line in message
    assert "\n" not in message


def test_a_file_that_is_not_there_is_one_line() -> None:
    with pytest.raises(BadConfig, match=r"nowhere\.toml: No such file or directory"):
        load_config(Path("nowhere.toml"), {})


def test_the_environment_goes_over_the_file() -> None:
    config = parse(
        'site = "a"\n[spool]\ncap_bytes = 2000000',
        TINYPROF_SITE="b",
        TINYPROF_AGENT="c",
        TINYPROF_SPOOL_CAP_BYTES="3000000",
        TINYPROF_CLOCK_TRUST="always",
        TINYPROF_BROKER="mqtt://elsewhere:1999",
        TINYPROF_HOST_SAMPLE_EVERY_S="2.5",
    )
    assert (config.node, config.spool.cap_bytes, config.clock.trust) == ("b.c", 3_000_000, "always")
    assert (config.address().port, config.host_sample_every_s) == (1999, 2.5)


def test_the_plain_names_are_honoured_and_the_prefixed_win() -> None:
    assert parse("", LOG_LEVEL="debug", MAX_WORKERS="3").max_workers == 3
    assert parse("", LOG_LEVEL="debug").log_level == "DEBUG"
    assert parse("", LOG_LEVEL="debug", TINYPROF_LOG_LEVEL="ERROR").log_level == "ERROR"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TINYPROF_SPOOL_CAP_BYTES", "lots"), ("MAX_WORKERS", "-1"), ("TINYPROF_CLOCK_TRUST", "never")],
)
def test_a_bad_variable_is_named(variable: str, value: str) -> None:
    with pytest.raises(BadConfig, match=f"^{variable}: "):
        parse("", **{variable: value})


def test_the_sample_works_as_it_is() -> None:
    text = resources.files("tinyprof_agent").joinpath("agent.sample.toml").read_text(encoding="utf-8")
    config = parse(text)
    assert [board.driver for board in config.boards] == ["host"]
    for board in config.boards:
        make_driver(board, lambda: 0).close()


def test_the_sample_shows_every_key() -> None:
    text = resources.files("tinyprof_agent").joinpath("agent.sample.toml").read_text(encoding="utf-8")
    sections = [AgentConfig, *(type(getattr(AgentConfig(), name)) for name in ("spool", "clock", "uplink"))]
    keys = [field.name for section in sections for field in msgspec.structs.fields(section)]
    assert [key for key in keys if f"{key} =" not in text and f"[{key}]" not in text] == []


def test_state_lies_where_the_machine_has_a_place_for_it() -> None:
    config = parse("")
    assert config.state_folder({"XDG_STATE_HOME": "/x"}, is_root=False) == Path("/x/tinyprof/agent")
    assert config.state_folder({}, is_root=True) == Path("/var/lib/tinyprof/agent")
    assert parse('state_dir = "/y"').state_folder({}) == Path("/y")


@pytest.mark.parametrize(
    ("hostname", "name"), [("Bench_1.lan", "bench-1"), ("---", "agent"), ("", "agent"), ("x" * 80, "x" * 63)]
)
def test_a_machines_name_is_made_to_fit(hostname: str, name: str) -> None:
    assert default_agent_name(hostname) == name

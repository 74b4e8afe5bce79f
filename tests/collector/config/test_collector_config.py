import importlib.resources
from pathlib import Path

import pytest

from tinyprof_collector.config import PLAIN_VARIABLES, BadConfig, Config, load, state_dir_of

SAMPLE = Path(str(importlib.resources.files("tinyprof_collector"))) / "collector.sample.toml"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "collector.toml"
    path.write_text(text)
    return path


def test_the_sample_works_and_shows_the_defaults():
    assert load(SAMPLE, {}) == Config()


def test_the_sample_names_every_key():
    text = SAMPLE.read_text()
    sections = {"store": ["sqlite"], "ingest": None, "health": None, "endpoints": None, "replies": None}
    for name in Config.__struct_fields__:
        if name not in sections:
            assert f"\n{name} = " in text
    config = Config()
    for struct in (config.store.sqlite, config.ingest, config.health, config.endpoints, config.replies):
        for name in struct.__struct_fields__:
            assert f"\n{name} = " in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense = 1", "nonsense: unknown key"),
        ("[ingest]\nnonsense = 1", "ingest.nonsense: unknown key"),
        ("[store.sqlite]\nnonsense = 1", "store.sqlite.nonsense: unknown key"),
        ('[ingest]\nmax_batches = "many"', "ingest.max_batches: Expected int, got str"),
        ("ingest = 3", "ingest: Expected object, got int"),
        ("[store.sqlite]\nretention_days = -1", "store.sqlite.retention_days: Expected float > 0.0"),
        ("partitions = [1, 77]", "partitions[1]: Expected int <= 15"),
        ("partitions = [1, 1]", "partitions: name each"),
        ("partitions = []", "partitions: name each"),
        ('id = "a.b"', "id: Expected a name"),
        ('log_level = "loud"', "log_level: Invalid enum value 'loud'"),
        ('broker = "http://x"', "broker: broker 'http://x' is no address"),
        ('[endpoints]\nlisten = "here"', "endpoints.listen: 'here' is not host:port"),
        ("id =", "is no TOML"),
    ],
)
def test_a_bad_file_gives_one_line_with_file_and_key(tmp_path, text, says):
    path = write(tmp_path, text)
    with pytest.raises(BadConfig) as raised:
        load(path, {})
    assert str(raised.value).startswith(f"{path}: ")
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadConfig, match=r"nothing\.toml: cannot be read: No such file"):
        load(tmp_path / "nothing.toml", {})


@pytest.mark.parametrize(
    ("environment", "keys", "value"),
    [
        ({"TINYPROF_BROKER": "mqtt://10.0.0.1"}, ("broker",), "mqtt://10.0.0.1"),
        ({"TINYPROF_PARTITIONS": "1, 2"}, ("partitions",), [1, 2]),
        ({"TINYPROF_STORE_SQLITE_RETENTION_DAYS": "7.5"}, ("store", "sqlite", "retention_days"), 7.5),
        ({"TINYPROF_INGEST_MAX_BATCHES": "12"}, ("ingest", "max_batches"), 12),
        ({"LOG_LEVEL": "DEBUG"}, ("log_level",), "debug"),
        ({"LOG_LEVEL": "DEBUG", "TINYPROF_LOG_LEVEL": "error"}, ("log_level",), "error"),
        ({"MAX_WORKERS": "3"}, ("replies", "workers"), 3),
        ({"TINYPROF_AGENT_SOMETHING": "of another role"}, ("id",), "main"),
    ],
)
def test_the_environment_wins(environment, keys, value):
    found = load(None, environment)
    for key in keys:
        found = getattr(found, key)
    assert found == value


@pytest.mark.parametrize("variable", ["TINYPROF_REPLIES_WORKERS", *PLAIN_VARIABLES])
def test_a_bad_variable_is_named(variable):
    with pytest.raises(BadConfig, match=f"environment variable {variable}: "):
        load(None, {variable: "not-a-value"})


def test_the_environment_does_not_hide_a_bad_file(tmp_path):
    with pytest.raises(BadConfig, match="id: Expected str"):
        load(write(tmp_path, "id = 7"), {"TINYPROF_ID": "good"})


@pytest.mark.parametrize(
    ("config", "environment", "directory"),
    [
        (Config(state_dir="/x"), {"STATE_DIRECTORY": "/y"}, "/x"),
        (Config(), {"STATE_DIRECTORY": "/y:/z", "XDG_STATE_HOME": "/w"}, "/y"),
        (Config(), {"XDG_STATE_HOME": "/w"}, "/w/tinyprof/collector"),
    ],
)
def test_the_state_directory(config, environment, directory):
    assert state_dir_of(config, environment) == Path(directory)


@pytest.mark.parametrize(
    ("listen", "address"),
    [("", None), ("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:9464", ("::1", 9464))],
)
def test_where_the_endpoints_listen(tmp_path, listen, address):
    assert load(write(tmp_path, f'[endpoints]\nlisten = "{listen}"'), {}).listen_address() == address


def test_nothing_listens_on_a_public_interface_by_default():
    address = Config().listen_address()
    assert address is not None
    assert address[0] == "127.0.0.1"

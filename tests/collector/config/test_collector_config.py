"""The collector's configuration: its own checks, its variables, and a sample that shows every key and works."""

import importlib.resources
from pathlib import Path

import pytest
from sample_file import shown

from tinyprof_collector.config import PLAIN_VARIABLES, Config, EndpointsConfig, load_config
from tinyprof_protocol.configuration import BadConfig, keys_of

SAMPLE = Path(str(importlib.resources.files("tinyprof_collector"))) / "collector.sample.toml"


def write(folder: Path, text: str) -> Path:
    path = folder / "collector.toml"
    path.write_text(text)
    return path


def value_of(config: Config, path: tuple[str, ...]) -> object:
    found: object = config
    for name in path:
        found = getattr(found, name)
    return found


def test_the_sample_loads_and_is_the_defaults():
    assert load_config(SAMPLE, {}) == Config()


def test_the_sample_shows_every_key_with_its_default():
    sample = {key: value for key, (value, _) in shown(SAMPLE).items()}
    assert sample == {str(key): value_of(Config(), key.path) for key in keys_of(Config)}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nonsense = 1", "nonsense: unknown key"),
        ("[ingest]\nmax_batch = 1", "ingest.max_batch: unknown key; did you mean ingest.max_batches?"),
        ('[store.sqlite]\nfile = ""', "store.sqlite.file: unknown key; did you mean alerts.ca_file?"),
        ('[store]\nca_file = "x"', "store.ca_file: unknown key; did you mean alerts.ca_file?"),
        ("[store.sqlite]\nretention_days = -1", "store.sqlite.retention_days: expected float > 0.0"),
        ("partitions = [1, 77]", "partitions[1]: expected integer <= 15"),
        ("partitions = [1, 1]", "partitions: name each of 0 to 15 at most once, and at least one"),
        ("partitions = []", "partitions: name each of 0 to 15 at most once, and at least one"),
        ('id = "a.b"', "id: expected a name: 1 to 63 of a-z, 0-9 and '-', not starting with '-'"),
        ('[store]\nuse = ["influxdb"]', "store.influxdb.url: where is it? for example http://127.0.0.1:8086"),
        ('[store]\nuse = ["sqlite", "sqlite"]', "store.use: name each store once"),
        ('[state]\nuse = "redis"', "state.url: where is it? for example redis://127.0.0.1:6379"),
        ('[state]\nurl = "127.0.0.1:6379"', "state.url: not redis://host:port, rediss://host:port or unix:///path"),
        (
            '[state]\nuse = "redis"\nurl = "redis://me:secret@db"',
            "store.use: the sqlite store is a file of one collector; with state.use = 'redis' take ['influxdb']",
        ),
        ('[store.influxdb]\nurl = "db:8086"', "store.influxdb.url: not http://host:port or https://host:port"),
        (
            '[store.influxdb]\nurl = "http://me:secret@db"',
            "store.influxdb.url: put the user, the password and the token in keys of their own",
        ),
        (
            '[store.influxdb]\nurl = "http://db"\ntoken = "a"\ntoken_file = "b"',
            "store.influxdb.token: give one of token, token_file, and username with password",
        ),
        ('[endpoints]\nlisten = "here"', "endpoints.listen: 'here' is not host:port, such as 127.0.0.1:9464"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_and_key(tmp_path, text, line):
    path = write(tmp_path, text)
    with pytest.raises(BadConfig) as raised:
        load_config(path, {})
    assert str(raised.value) == f"{path}: {line}"


@pytest.mark.parametrize(
    ("environment", "path", "value"),
    [
        ({"TINYPROF_BROKER": "mqtt://10.0.0.1"}, ("broker",), "mqtt://10.0.0.1"),
        ({"TINYPROF_BROKER_CA_FILE": "/ca.pem"}, ("broker_ca_file",), "/ca.pem"),
        ({"TINYPROF_PARTITIONS": "1, 2"}, ("partitions",), [1, 2]),
        ({"TINYPROF_STORE_SQLITE_RETENTION_DAYS": "7.5"}, ("store", "sqlite", "retention_days"), 7.5),
        ({"TINYPROF_INGEST_MAX_BATCHES": "12"}, ("ingest", "max_batches"), 12),
        ({"LOG_LEVEL": "Debug"}, ("log_level",), "DEBUG"),
        ({"LOG_LEVEL": "debug", "TINYPROF_LOG_LEVEL": "error"}, ("log_level",), "ERROR"),
        ({"MAX_WORKERS": "3"}, ("replies", "workers"), 3),
        ({"CACHE_SIZE": "7", "CACHE_TTL": "1.5"}, ("cache", "size"), 7),
        ({"CACHE_SIZE": "7", "TINYPROF_CACHE_SIZE": "8"}, ("cache", "size"), 8),
        ({"CACHE_TTL": "60"}, ("cache", "ttl"), 60.0),
        ({"TINYPROF_SPOOL_CAP_BYTES": "a key of another role"}, ("id",), "main"),
    ],
)
def test_the_environment_goes_before_the_defaults(environment, path, value):
    assert value_of(load_config(None, environment), path) == value


@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("TINYPROF_REPLIES_WORKERS", "replies.workers"),
        ("TINYPROF_ENDPOINTS_LISTEN", "endpoints.listen"),
        *((variable, ".".join(path)) for variable, path in PLAIN_VARIABLES.items()),
    ],
)
def test_a_wrong_variable_is_named_with_its_key(variable, key):
    with pytest.raises(BadConfig, match=f"^environment variable {variable}: {key}: "):
        load_config(None, {variable: "not-a-value"})


def test_no_two_keys_share_a_variable():
    variables = [key.variable for key in keys_of(Config)]
    assert len(set(variables)) == len(variables)


@pytest.mark.parametrize(
    ("listen", "address"),
    [("", None), ("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:9464", ("::1", 9464))],
)
def test_where_the_endpoints_listen(listen, address):
    assert EndpointsConfig(listen).address() == address


def test_nothing_listens_on_a_public_interface_by_default():
    address = Config().endpoints.address()
    assert address is not None
    assert address[0] == "127.0.0.1"


def test_what_a_configuration_shows_of_itself_holds_no_secret(tmp_path):
    path = write(tmp_path, '[store.influxdb]\nurl = "http://db"\ntoken = "the-secret"')
    config = load_config(path, {})
    assert config.store.influxdb.token == "the-secret"
    assert "the-secret" not in f"{config!r} {config}"
    named = load_config(None, {"TINYPROF_STORE_USE": "sqlite,influxdb", "TINYPROF_STORE_INFLUXDB_URL": "http://db"})
    assert named.store.use == ["sqlite", "influxdb"]

"""The loader that every role's configuration goes through: the file, the environment over it, and each error's line."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct, field

from tinyprof_protocol.configuration import BadConfig, keys_of, load
from tinyprof_protocol.names import Name
from tinyprof_protocol.service_config import ServiceConfig

PLAIN = {"LOG_LEVEL": ("log_level",), "WORKERS": ("oven", "workers")}


class Tray(Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    slots: int = 1


class Thermostat(Struct, frozen=True, forbid_unknown_fields=True):
    celsius: Annotated[float, Meta(gt=0, le=300)] = 180.0
    zones: list[Annotated[int, Meta(ge=0, le=9)]] = []


class Oven(Struct, frozen=True, forbid_unknown_fields=True):
    workers: Annotated[int, Meta(ge=1)] = 2
    lit: bool = False
    mode: Literal["Fan", "Grill"] = "Fan"
    thermostat: Thermostat = Thermostat()

    def __post_init__(self) -> None:
        if self.mode == "Grill" and self.workers > 5:
            raise ValueError("workers: too many for a grill")


class Bakery(ServiceConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    role = "bakery"

    name: Name = "corner"
    oven: Oven = Oven()
    trays: list[Tray] = field(default_factory=list)


def read(folder: Path, text: str, **environment: str) -> Bakery:
    path = folder / "bakery.toml"
    path.write_text(text, encoding="utf-8")
    return load(Bakery, path, environment, PLAIN)


def test_no_file_and_an_empty_one_are_the_defaults(tmp_path):
    assert load(Bakery, None, {}, PLAIN) == read(tmp_path, "") == Bakery()


def test_a_file_is_read(tmp_path):
    config = read(tmp_path, '[oven.thermostat]\ncelsius = 200\n[[trays]]\nname = "a"')
    assert config == Bakery(oven=Oven(thermostat=Thermostat(celsius=200.0)), trays=[Tray("a")])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("brooker = 1", "brooker: unknown key; did you mean broker?"),
        ("[oven]\nworker = 1", "oven.worker: unknown key; did you mean oven.workers?"),
        ('[oven.thermostat]\nbroker = ""', "oven.thermostat.broker: unknown key; did you mean broker?"),
        ("xyzzy = 1", "xyzzy: unknown key"),
        ('[[trays]]\nname = "a"\nslot = 2', "trays[0].slot: unknown key; did you mean trays[0].slots?"),
        ("[[trays]]", "trays[0].name: is missing"),
        ('[oven]\nworkers = "many"', "oven.workers: expected integer, got string"),
        ("[oven]\nworkers = 0", "oven.workers: expected integer >= 1"),
        ("oven = 3", "oven: expected table, got integer"),
        ("[oven]\nlit = 1", "oven.lit: expected boolean, got integer"),
        ("[oven]\nthermostat.zones = [1, 12]", "oven.thermostat.zones[1]: expected integer <= 9"),
        ("[oven]\nthermostat.celsius = nan", "oven.thermostat.celsius: expected float > 0.0"),
        ('[oven]\nmode = "steam"', "oven.mode: 'steam' is none of Fan, Grill"),
        ('[oven]\nmode = "grill"\nworkers = 6', "oven.workers: too many for a grill"),
        ('name = "Not A Name"', "name: expected a name: 1 to 63 of a-z, 0-9 and '-', not starting with '-'"),
        ('log_level = "loud"', "log_level: 'loud' is none of DEBUG, INFO, WARNING, ERROR"),
        (
            'broker = "http://x"',
            "broker: broker 'http://x' is no address: write mqtt://HOST:PORT, or mqtts://HOST:PORT for TLS",
        ),
        ("name = ", "is not TOML: Invalid value (at end of document)"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_and_key(tmp_path, text, line):
    with pytest.raises(BadConfig) as raised:
        read(tmp_path, text)
    assert str(raised.value) == f"{tmp_path}/bakery.toml: {line}"


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(BadConfig, match=r"none\.toml: cannot be read: No such file or directory$"):
        load(Bakery, tmp_path / "none.toml", {}, PLAIN)
    with pytest.raises(BadConfig, match=r"cannot be read: Is a directory$"):
        load(Bakery, tmp_path, {}, PLAIN)
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(BadConfig, match=r"latin\.toml: is not TOML: .*utf-8"):
        load(Bakery, tmp_path / "latin.toml", {}, PLAIN)


@pytest.mark.parametrize(
    ("environment", "config"),
    [
        ({"TINYPROF_NAME": "b"}, Bakery(name="b")),
        ({"TINYPROF_OVEN_LIT": "true"}, Bakery(oven=Oven(lit=True))),
        ({"TINYPROF_OVEN_MODE": "GRILL"}, Bakery(oven=Oven(mode="Grill"))),
        ({"TINYPROF_OVEN_THERMOSTAT_CELSIUS": "7.5"}, Bakery(oven=Oven(thermostat=Thermostat(7.5)))),
        ({"TINYPROF_OVEN_THERMOSTAT_ZONES": "1, 2"}, Bakery(oven=Oven(thermostat=Thermostat(zones=[1, 2])))),
        ({"WORKERS": "4"}, Bakery(oven=Oven(workers=4))),
        ({"WORKERS": "4", "TINYPROF_OVEN_WORKERS": "5"}, Bakery(oven=Oven(workers=5))),
        ({"WORKERS": "4", "TINYPROF_OVEN_WORKERS": ""}, Bakery(oven=Oven(workers=4))),
        ({"LOG_LEVEL": "debug"}, Bakery(log_level="DEBUG")),
        ({"TINYPROF_BROKER": "", "LOG_LEVEL": ""}, Bakery()),
        ({"TINYPROF_TRAYS": "a", "TINYPROF_ANOTHER_ROLES": "key", "NAME": "c"}, Bakery()),
    ],
)
def test_the_environment_sets_every_key_that_holds_a_value(environment, config):
    assert load(Bakery, None, environment, PLAIN) == config


def test_the_environment_goes_before_the_file_key_by_key(tmp_path):
    text = 'name = "file"\n[oven]\nworkers = 3\nlit = true'
    assert read(tmp_path, text, TINYPROF_OVEN_WORKERS="9") == Bakery(name="file", oven=Oven(workers=9, lit=True))


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"TINYPROF_OVEN_WORKERS": "many"}, "TINYPROF_OVEN_WORKERS: oven.workers: expected integer, got string"),
        ({"WORKERS": "0"}, "WORKERS: oven.workers: expected integer >= 1"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL: log_level: 'loud' is none of DEBUG, INFO, WARNING, ERROR"),
        (
            {"TINYPROF_OVEN_THERMOSTAT_ZONES": "1,x"},
            "TINYPROF_OVEN_THERMOSTAT_ZONES: oven.thermostat.zones[1]: expected integer, got string",
        ),
        (
            {"TINYPROF_OVEN_MODE": "grill", "TINYPROF_OVEN_WORKERS": "6"},
            "TINYPROF_OVEN_WORKERS: oven.workers: too many for a grill",
        ),
        (
            {"TINYPROF_BROKER": "a:b"},
            "TINYPROF_BROKER: broker: broker 'a:b' is no address: write mqtt://HOST:PORT, or mqtts://HOST:PORT for TLS",
        ),
    ],
)
def test_a_wrong_variable_is_named_with_its_key(environment, line):
    with pytest.raises(BadConfig) as raised:
        load(Bakery, None, environment, PLAIN)
    assert str(raised.value) == f"environment variable {line}"


def test_the_environment_does_not_hide_a_wrong_file(tmp_path):
    with pytest.raises(BadConfig, match="name: expected string, got integer"):
        read(tmp_path, "name = 7", TINYPROF_NAME="good")


@pytest.mark.parametrize("written", ["warning", "Warning", "WARNING"])
def test_words_of_a_fixed_set_are_taken_in_any_case(tmp_path, written):
    assert read(tmp_path, f'log_level = "{written}"').log_level == "WARNING"


def test_the_keys_are_listed_with_their_tables_and_variables():
    found: dict[str, Any] = {str(key): key.variable for key in keys_of(Bakery)}
    assert found["oven.thermostat.celsius"] == "TINYPROF_OVEN_THERMOSTAT_CELSIUS"
    assert {"broker", "broker_ca_file", "state_dir", "log_level", "name", "trays"} <= found.keys()
    assert not {"role", "oven", "oven.thermostat"} & found.keys()


def test_the_brokers_certificates_go_with_its_address():
    assert Bakery(broker="mqtts://h", broker_ca_file="/ca.pem").broker_address().ca_file == Path("/ca.pem")
    assert Bakery(broker="mqtts://h").broker_address().ca_file is None


@pytest.mark.parametrize(
    ("state_dir", "environment", "is_root", "folder"),
    [
        ("/x", {"STATE_DIRECTORY": "/y"}, True, "/x"),
        ("", {"STATE_DIRECTORY": "/y:/z", "XDG_STATE_HOME": "/w"}, True, "/y"),
        ("", {"XDG_STATE_HOME": "/w"}, True, "/var/lib/tinyprof/bakery"),
        ("", {"XDG_STATE_HOME": "/w"}, False, "/w/tinyprof/bakery"),
        ("", {}, False, str(Path.home() / ".local/state/tinyprof/bakery")),
    ],
)
def test_state_lies_where_the_machine_has_a_place_for_it(state_dir, environment, is_root, folder):
    assert Bakery(state_dir=state_dir).state_folder(environment, is_root=is_root) == Path(folder)

"""The configuration that `tinyprof agent init` writes: one that an agent takes, whatever is plugged in."""

from importlib import resources

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyprof_agent.boards import make_driver
from tinyprof_agent.config import AgentConfig
from tinyprof_agent.first_config import Port, board_names, config_text

SAMPLE = (resources.files("tinyprof_agent") / "agent.sample.toml").read_text()
NUCLEO = Port("/dev/serial/by-id/usb-ST-if02", "/dev/ttyACM0", 0x0483, 0x374B, "066DFF", "STM32 STLink")
PICO = Port("/dev/ttyACM1", "/dev/ttyACM1", 0x2E8A, 0x000A, "", "Pico")
OWN = Port("/dev/ttyS0", "/dev/ttyS0")


def parsed(ports, **more) -> AgentConfig:
    names = {"site": "lab", "agent": "bench-1", "broker": "mqtt://b:1883", **more}
    return msgspec.toml.decode(config_text(SAMPLE, ports=ports, **names), type=AgentConfig)


def test_it_is_a_configuration_with_this_machine_and_a_board_for_each_usb_port() -> None:
    config = parsed([NUCLEO, PICO, OWN])
    assert (config.node, config.broker) == ("lab.bench-1", "mqtt://b:1883")
    assert [(board.name, board.options.get("port")) for board in config.boards] == [
        ("this-machine", None), ("stm32-stlink-1", NUCLEO.path), ("pico-1", PICO.path),
    ]  # fmt: skip
    for board in config.boards:
        make_driver(board, lambda: 0)


def test_every_port_is_described_also_one_that_is_left_out() -> None:
    text = config_text(SAMPLE, "lab", "a", "mqtt://b", [NUCLEO, OWN])
    assert "# /dev/ttyACM0: 0483:374b, STMicroelectronics" in text
    assert "serial number 066DFF" in text
    assert '# port = "/dev/ttyS0"' in text
    assert "No serial port is there now" in config_text(SAMPLE, "lab", "a", "mqtt://b", [])


def test_all_else_is_as_in_the_sample() -> None:
    sample = msgspec.toml.decode(SAMPLE, type=AgentConfig)
    ours = parsed([])
    for key in AgentConfig.__struct_fields__:
        if key not in ("site", "agent", "broker", "boards"):
            assert getattr(ours, key) == getattr(sample, key), key


USB = st.builds(
    Port,
    path=st.text(min_size=1, max_size=30).filter(lambda text: not any(0xD800 <= ord(sign) < 0xE000 for sign in text)),
    device=st.text(max_size=20),
    vid=st.integers(0, 65535),
    pid=st.integers(0, 65535),
    serial_number=st.text(max_size=20),
    product=st.text(max_size=60),
)


@given(st.lists(USB, max_size=8))
def test_whatever_a_device_says_of_itself_it_stays_a_configuration(ports) -> None:
    config = parsed(ports)
    assert [board.options["port"] for board in config.boards[1:]] == [port.path for port in ports]
    names = board_names(ports)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("product", ["", "   ", "---", "\n[[boards]]\n", 'x" y'])
def test_a_name_is_one_that_may_be_given(product) -> None:
    [name] = board_names([Port("/dev/x", "/dev/x", 1, 1, "", product)])
    assert parsed([Port("/dev/x", "/dev/x", 1, 1, "", product)]).boards[1].name == name

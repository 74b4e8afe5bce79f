"""Options of `tinyprof profile` that would be ignored are refused: figures must rest on what was asked for."""

import pytest
from click.testing import CliRunner

from tinyprof.cli import tinyprof


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "/dev/null", "--activations", "int8"], "--activations has an effect with --model only"),
        (["--model", "stories260k-q4_0", "--baud", "9600"], "--baud has an effect with --port only"),
        (["--model", "stories260k-q4_0", "--timeout", "5s"], "--timeout has an effect with a BOARD of the fleet only"),
        (["pico-1", "--activations", "int8"], "--activations has an effect with --model only"),
    ],
)
def test_an_option_without_effect_is_wrong_use(arguments, says) -> None:
    result = CliRunner().invoke(tinyprof, ["profile", *arguments])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert says in result.stderr


def test_a_broker_from_the_environment_is_no_option_of_a_run_on_this_machine() -> None:
    result = CliRunner().invoke(tinyprof, ["profile", "--model", "none"], env={"TINYPROF_BROKER": "mqtt://127.0.0.1:1"})
    assert "'none' is neither a file nor one of" in result.stderr

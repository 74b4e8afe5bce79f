"""`tinyprof suites`, and a suite of one's own in a run on this machine."""

import json

from click.testing import CliRunner

from tinyprof.cli import tinyprof
from tinyprof_platforms.suites import read_suite, shipped_suites


def call(*arguments):
    return CliRunner().invoke(tinyprof, arguments)


def test_the_suites_that_ship_are_listed() -> None:
    head, *rows = call("suites").stdout.splitlines()
    assert head.split()[0] == "suite"
    assert [row.split()[0] for row in rows] == list(shipped_suites())
    assert set(json.loads(call("suites", "--json").stdout)["suites"]) == set(shipped_suites())


def test_what_it_shows_of_one_is_a_file_that_gives_the_same(tmp_path) -> None:
    for name, suite in shipped_suites().items():
        path = tmp_path / f"my-{name}.toml"
        path.write_text(call("suites", name).stdout)
        assert read_suite(path) == (f"my-{name}", suite)


def test_a_file_with_a_wrong_key_is_one_line_that_names_file_suite_and_key(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('prompts = ["One day"]\nmax_tokens = 4\nmax_time_s = 3\n')
    for arguments in (["suites", str(path)], ["profile", "--model", "stories260k-q4_0", "--suite", str(path)]):
        result = call(*arguments)
        assert result.exit_code == 2
        assert result.stderr == (
            f"tinyprof: suite 'mine': {path}: max_time_s: unknown key; did you mean max_timed_s?\n"
        )


def test_a_run_here_takes_a_suite_of_ones_own(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('prompts = ["One day"]\nmax_tokens = 4\nmin_repetitions = 2\nmin_timed_s = 0\nwarm_up = false\n')
    result = call("profile", "--model", "stories260k-q4_0", "--suite", str(path), "--json")
    run = json.loads(result.stdout)["result"]
    assert (run["suite"], run["max_tokens"], len(run["repetitions"])) == ("mine", 4, 2)

"""The command: what it prints, and the one line that it gives where something is wrong."""

import json
import logging
import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from tinyprof import __version__
from tinyprof.cli import tinyprof
from tinyprof.embedded_broker import EmbeddedBroker, free_port
from tinyprof.partition_list import partitions_given
from tinyprof_models.catalogue import shipped_model
from tinyprof_protocol.jobs import ProfileReply
from tinyprof_protocol.presence import AgentStatus, BoardSummary, CollectorStatus
from tinyprof_protocol.records import Figure
from tinyprof_protocol.requests import (
    AgentDelivery,
    AgentView,
    BoardsReply,
    HistoryReply,
    LedgerReply,
    LedgerRow,
    Point,
    QuarantineItem,
    QuarantineReply,
    StatusReply,
)
from tinyprof_protocol.series import SeriesSeen

BOARD = BoardSummary(
    "lab.a1", "host", "healthy", [], 1, platform="host", results=3, figures={"ttft_ms": Figure(1.25)}, verdict="valid"
)
EPOCH = b"e" * 16


def call(*arguments, broker=None, env=None):
    return CliRunner().invoke(tinyprof, arguments, env={"TINYPROF_BROKER": broker, "LOG_LEVEL": None} | (env or {}))


def one_line(result) -> str:
    """What went wrong; a check that it is one line and nothing else was printed."""
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr


def every_path(command=tinyprof, path=()):
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from every_path(command.get_command(context, name), (*path, name))


@pytest.mark.parametrize("path", list(every_path()), ids=" ".join)
def test_each_command_has_help(path) -> None:
    result = call(*path, "--help")
    assert result.exit_code == 0
    assert "--help" in result.stdout


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (["profile"], ["TINYPROF_BROKER", "--timeout DURATION", "stories260k-q4_0", "emulated, quick, soak, standard"]),
        (["history"], ["TINYPROF_BROKER", "--since DURATION"]),
        (["dashboard"], ["TINYPROF_BROKER", "--timeout DURATION"]),
        (["agent", "run"], ["TINYPROF_BROKER"]),
        (["collector", "run"], ["TINYPROF_BROKER"]),
    ],
)
def test_help_says_what_may_be_given(path, says) -> None:
    shown = " ".join(call(*path, "--help").stdout.split())
    assert [words for words in says if words not in shown] == []


def test_version() -> None:
    assert call("--version").stdout == f"tinyprof {__version__}\n"


def test_the_list_of_commands_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom tinyprof.cli import tinyprof\n"
        "tinyprof.main(['--help'], standalone_mode=False)\n"
        "heavy = {'paho', 'msgspec', 'numpy', 'textual', 'serial', 'tinyprof_agent', 'tinyprof_protocol'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "profile" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nope"], "nope"),
        (["borads"], "no such command 'borads'; did you mean 'boards'?"),
        (["boards", "--nope"], "--nope"),
        (["history", "host"], "METRIC"),
        (["history", "host", "decode_tsp"], "decode_tps"),
        (["history", "host", "ttft_ms", "--since", "3 moons"], "24h"),
        (["status", "--fail-on", "anything"], "critical"),
        (["profile"], "--model"),
        (["profile", "x", "--port", "/dev/null"], "--model"),
        (["profile", "--model", "stories260k-q4_0", "--suite", "quik"], "quick"),
        (["profile", "--model", "stories260k-q4_0", "--prompt", ""], "prompt 1 is empty"),
        (["profile", "--model", "stories260k-q4_0", "--prompt", "Once", "--prompt", "a" * 5000], "prompt 2 has 5000"),
        (["quarantine", "replay"], "ITEM"),
        (["boards", "--broker", "http://x"], "mqtt://HOST:PORT"),
        (["demo", "--boards", "abacus"], "soft-q4"),
        (["agent", "run"], "agent.sample.toml"),
        (
            ["agent", "run", "--config", "none.toml", "--broker", "foo://x"],
            "'--broker': broker 'foo://x' is no address",
        ),
        (["collector", "run", "--broker", "foo://x"], "'--broker': broker 'foo://x' is no address"),
        (["status", "--node", "lab"], "site.agent"),
        (["quarantine", "list", "--node", "Lab.A1"], "site.agent"),
        (["quarantine", "show", "seven"], "item number"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(arguments, says) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert says in one_line(result)


def test_a_wrong_log_level_is_wrong_use() -> None:
    result = call("boards", env={"LOG_LEVEL": "loud"})
    assert result.exit_code == 2
    assert "LOUD" in one_line(result)


@pytest.fixture
def root_level():
    """What the log level is; put back at the end."""
    root = logging.getLogger()
    before = root.level
    yield lambda: logging.getLevelName(root.level)
    root.setLevel(before)


@pytest.mark.parametrize("role", ["agent", "collector"])
@pytest.mark.parametrize(
    ("options", "environment", "level"),
    [
        ([], {}, "WARNING"),
        ([], {"LOG_LEVEL": "error"}, "ERROR"),
        ([], {"LOG_LEVEL": "error", "TINYPROF_LOG_LEVEL": "info"}, "INFO"),
        (["-v"], {"TINYPROF_LOG_LEVEL": "error"}, "INFO"),
        (["-vv"], {"LOG_LEVEL": "error"}, "DEBUG"),
    ],
)
def test_a_service_logs_as_its_configuration_says(role, options, environment, level, tmp_path, root_level) -> None:
    (tmp_path / "file").write_text("no directory")
    path = tmp_path / "service.toml"
    path.write_text('log_level = "warning"\n')
    state = str(tmp_path / "file" / "state")
    result = call(*options, role, "run", "--config", str(path), "--state-dir", state, env=environment)
    assert result.exit_code == 1
    assert root_level() == level


@pytest.mark.parametrize("role", ["agent", "collector"])
def test_an_unknown_key_in_a_configuration_is_named(role, tmp_path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text('colour = "green"\n')
    result = call(role, "run", "--config", str(path))
    assert result.exit_code == 2
    assert "colour" in one_line(result)


@pytest.mark.parametrize(
    ("driver", "model", "says"),
    [
        ("abacus", "", "no driver is called"),
        ("probe", "", "port"),
        ("host", "nope", "board 'b': model 'nope' is neither a file nor one of"),
        ("host", __file__, "is cut short or no GGUF file"),
    ],
)
def test_a_board_that_cannot_be_configured_is_wrong_use(driver, model, says, tmp_path, root_level) -> None:
    path = tmp_path / "agent.toml"
    options = f'options.model = "{model}"\n' if model else ""
    path.write_text(f'[[boards]]\nname = "b"\ndriver = "{driver}"\n{options}')
    result = call("agent", "run", "--config", str(path), "--state-dir", str(tmp_path / "state"))
    assert result.exit_code == 2
    assert says in one_line(result)


@pytest.mark.parametrize("role", ["agent", "collector"])
def test_a_configuration_that_is_not_there_is_named(role, tmp_path) -> None:
    result = call(role, "run", "--config", str(tmp_path / "none.toml"))
    assert result.exit_code == 2
    assert "none.toml" in one_line(result)


@pytest.mark.parametrize(
    "arguments",
    [
        ["boards"],
        ["status"],
        ["history", "host", "ttft_ms"],
        ["profile", "host"],
        ["quarantine", "list"],
        ["dashboard", "--once"],
    ],
    ids=" ".join,
)
def test_no_broker_is_one_line_and_exit_1(arguments) -> None:
    result = call(*arguments, broker=f"127.0.0.1:{free_port()}")
    assert result.exit_code == 1
    assert re.match(
        r"tinyprof: no broker at mqtt://127\.0\.0\.1:\d+ \(connection refused\); start a broker", one_line(result)
    )


def test_a_broker_without_a_collector_is_one_line_and_exit_1() -> None:
    with EmbeddedBroker() as lonely:
        result = call("boards", broker=lonely.url)
    assert result.exit_code == 1
    assert "no collector is behind it" in one_line(result)


def test_where_it_went_wrong_is_said_with_vv_only() -> None:
    arguments = ("boards", "--broker", f"127.0.0.1:{free_port()}")
    assert "Traceback" not in call(*arguments).stderr
    assert "Traceback" in call("-vv", *arguments).stderr


def test_a_model_that_is_not_there_is_wrong_use() -> None:
    result = call("profile", "--model", "no-such-model")
    assert result.exit_code == 2
    assert one_line(result).startswith("tinyprof: model 'no-such-model' is neither a file nor one of stories260k-f32, ")


def test_a_model_file_that_is_none_or_cut_short_is_told_in_plain_words(tmp_path) -> None:
    none, cut = tmp_path / "none.gguf", tmp_path / "cut.gguf"
    none.write_text("no model")
    result = call("profile", "--model", str(none))
    assert result.exit_code == 2
    assert one_line(result).startswith(f"tinyprof: {none}: is cut short or no GGUF file: ")
    cut.write_bytes(shipped_model("stories260k-q4_0").path.read_bytes()[:-1000])
    result = call("profile", "--model", str(cut))
    assert result.exit_code == 1
    assert one_line(result).startswith(f"tinyprof: {cut}: is cut short or no GGUF file: ")


def test_a_port_that_is_not_there_is_one_line() -> None:
    result = call("profile", "--port", "/dev/no-such-port")
    assert result.exit_code == 1
    assert "/dev/no-such-port" in one_line(result)


def test_a_run_on_this_machine_without_a_broker() -> None:
    result = call("profile", "--model", "stories260k-q4_0", "--tokens", "4", "--repeat", "2", "--json")
    printed = json.loads(result.stdout)
    run = printed["result"]
    assert result.exit_code == (1 if run["verdict"] == "invalid" else 0)
    assert run["golden"] == "match"
    assert run["build"]["model"] == "stories260k-q4_0"
    assert run["figures"]["ttft_ms"]["value"] > 0
    assert len(bytes.fromhex(run["run_id"])) == 16


# ---- against a collector of the test's own


def test_boards_as_a_table_and_as_json(collector, broker) -> None:
    collector({"boards": lambda _: [BoardsReply([BOARD], 1)]})
    shown = call("boards", broker=broker.url)
    assert "lab.a1/host" in shown.stdout
    assert "1.25" in shown.stdout
    printed = json.loads(call("boards", "--json", broker=broker.url).stdout)
    assert printed["boards"][0]["figures"]["ttft_ms"]["value"] == 1.25
    assert printed["gaps"] == []


def test_history_as_a_table_a_plot_and_json(collector, broker) -> None:
    points = [Point(10**18 + n * 10**9, float(n), verdict="valid", run_id=b"r" * 16) for n in range(20)]
    collector({"boards": lambda _: [BoardsReply([BOARD], 1)], "history": lambda _: [HistoryReply(points)]})
    table = call("history", "host", "ttft_ms", broker=broker.url).stdout.splitlines()
    assert len(table) == 21
    plot = call("history", "host", "ttft_ms", "--plot", broker=broker.url).stdout
    assert "█" in plot
    printed = json.loads(call("history", "host", "ttft_ms", "--json", broker=broker.url).stdout)
    assert [point["value"] for point in printed["points"]] == [float(n) for n in range(20)]
    assert printed["unit"] == "ms"


def test_history_says_what_it_leaves_out_and_shows_it_with_all(collector, broker) -> None:
    ours, theirs, second = "a" * 16, "b" * 16, 10**9
    points = [Point(second * n, float(n), verdict="valid", series=ours if n % 2 else theirs) for n in range(4)]
    described = [SeriesSeen(ours, "quick", "One day", 1, 16), SeriesSeen(theirs, "standard", "x" * 40 + "\x1b", 4, 9)]

    def answer(asked):
        if asked.series == "all":
            return [HistoryReply([*points, Point(9 * second, 5.0)], series="all", described=described)]
        return [HistoryReply(points[1::2], series=ours, others=2, described=described[:1])]

    collector({"boards": lambda _: [BoardsReply([BOARD], 1)], "history": answer})
    shown = call("history", "host", "ttft_ms", broker=broker.url)
    assert len(shown.stdout.splitlines()) == 3
    assert shown.stderr == "2 runs of other suites, prompts or builds are left out: --all shows them\n"
    every = call("history", "host", "ttft_ms", "--all", broker=broker.url)
    head, *rows = every.stdout.splitlines()
    assert head.split()[-3:] == ["series", "suite", "prompts"]
    assert rows[0].endswith(f'bbbbbbbb  standard  "{"x" * 23}…" +3, 9 tokens')
    assert rows[1].endswith('aaaaaaaa  quick     "One day", 16 tokens')
    assert rows[4].split()[-3:] == ["-", "-", "-"]
    assert every.stderr == ""
    printed = json.loads(call("history", "host", "ttft_ms", "--json", broker=broker.url).stdout)
    assert (printed["series"], printed["others"]) == (ours, 2)
    assert [point["series"] for point in printed["points"]] == [ours, ours]
    assert printed["described"][0]["suite"] == "quick"


def test_runs_that_cannot_be_compared_are_not_drawn_as_one_line() -> None:
    result = call("history", "host", "ttft_ms", "--plot", "--all")
    assert result.exit_code == 2
    assert "--all" in one_line(result)


def status_answers(*, ok: bool, health: str = "healthy"):
    row = LedgerRow("lab.a1", EPOCH, head=5, stored=5 if ok else 4, missing=0 if ok else 1, verified=5)
    return {
        "status": lambda _: [StatusReply(CollectorStatus("main", "online"), [], {health: 2})],
        "ledger": lambda _: [LedgerReply([row], ok=ok, problems=[] if ok else ["lab.a1: 1 is missing"])],
    }


def test_status_says_that_the_ledger_adds_up(collector, broker) -> None:
    collector(status_answers(ok=True))
    result = call("status", "--verify", "--fail-on", "warning", broker=broker.url)
    assert result.exit_code == 0
    assert "ledger: adds up, by the stores themselves" in result.stdout


def test_status_shows_every_class_ages_waits_and_causes(collector, broker) -> None:
    row = LedgerRow("lab.a1", EPOCH, 1990, stored=1205, quarantined=2, expired=3, discarded=4, evicted=5, in_spool=760,
                    stored_on_word=7, missing=4, cause="the disk died", oldest_s=600.0)  # fmt: skip
    held = CollectorStatus(
        "main", "online", health="critical", partitions=list(range(16)), stores={"influxdb": "critical"},
        reasons=["store influxdb: connection refused"], holding_s=75.0, waiting=12, counters={"inbox_deferred": 3},
    )  # fmt: skip
    view = AgentView(AgentStatus("lab.a1", "online", spool_records=760), "healthy", [], 0, 1.0, 2500.0)
    delivery = AgentDelivery("lab.a1", 0, spool_records=760, spool_oldest_s=600.0, waiting_s=74.0, deferred=3)
    evicted = LedgerRow("lab.a1", bytes(16), 9, evicted=9, cause="evicted: cap", forgotten=True, epochs=2)
    collector({
        "status": lambda _: [StatusReply(held, [view], {"healthy": 1})],
        "ledger": lambda _: [LedgerReply([row, evicted], False, ["lab.a1: 4 missing: the disk died"], [delivery])],
    })  # fmt: skip
    result = call("status", broker=broker.url)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["main", "critical", "00", "to", "15", "influxdb:", "critical", "0", "0", "3", "0", "12", "75", "s"] in lines
    assert ["lab.a1", "healthy", "0", "760", "10", "min", "2,500", "74", "s", "3", "1"] in lines
    classes = ["1,205", "2", "3", "4", "5", "760", "7", "4", "0"]
    assert ["lab.a1", EPOCH.hex()[:8], "1,990", *classes, "10", "min"] in lines
    assert ["all", "1,999", "1,205", "2", "3", "4", "14", "760", "7", "4", "0"] in lines
    assert "ledger: lab.a1 older: evicted: cap" in result.stderr
    assert result.stderr.count("the disk died") == 1
    told = json.loads(call("status", "--json", broker=broker.url).stdout)["ledger"]
    assert (told["rows"][0]["oldest_s"], told["agents"][0]["waiting_s"]) == (600.0, 74.0)


def test_status_verify_fails_where_it_does_not(collector, broker) -> None:
    collector(status_answers(ok=False))
    assert call("status", broker=broker.url).exit_code == 0
    result = call("status", "--verify", "--json", broker=broker.url)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["ledger"]["problems"] == ["lab.a1: 1 is missing"]


def test_the_ledger_of_an_agent_that_is_not_there_is_one_line_and_exit_1(collector, broker) -> None:
    collector(status_answers(ok=True) | {"ledger": lambda _: [LedgerReply([], ok=True)]})
    result = call("status", "--node", "lab.a9", broker=broker.url)
    assert result.exit_code == 1
    assert "no agent is called 'lab.a9'" in one_line(result)


@pytest.mark.parametrize(
    ("health", "bound", "code"),
    [("warning", "critical", 0), ("critical", "critical", 1), ("offline", "critical", 1), ("stale", "warning", 1)],
)
def test_status_fails_on_a_board_as_bad_as_asked(collector, broker, health, bound, code) -> None:
    collector(status_answers(ok=True, health=health))
    assert call("status", "--fail-on", bound, broker=broker.url).exit_code == code


def test_a_refused_run_is_one_line_and_exit_1(collector, broker) -> None:
    collector(
        {
            "boards": lambda _: [BoardsReply([BOARD], 1)],
            "profile": lambda request: [ProfileReply(request.job.id, "refused", "no such suite", final=True)],
        }
    )
    result = call("profile", "host", broker=broker.url)
    assert result.exit_code == 1
    assert "refused: no such suite" in one_line(result)


def test_the_quarantine_is_listed_shown_and_replayed(collector, broker) -> None:
    item = QuarantineItem(7, 10**18, "tinyprof/1/00/x", "is no \x1b[31m record", 3, data=b"abc")

    def answer(request):
        if request.action == "replay":
            return [QuarantineReply([], 0, replayed=2, stored=1)]
        return [QuarantineReply([item], 1, discarded=2)]

    collector({"quarantine": answer})
    listed = call("quarantine", "list", broker=broker.url)
    assert "is no [31m record" in listed.stdout
    assert "\x1b" not in listed.stdout
    assert "1 in quarantine, 2 discarded" in listed.stderr
    assert "61 62 63" in call("quarantine", "show", "7", broker=broker.url).stdout
    assert json.loads(call("quarantine", "show", "7", "--json", broker=broker.url).stdout)["data"] == "616263"
    replayed = call("quarantine", "replay", "7", broker=broker.url)
    assert replayed.exit_code == 1
    assert "2 replayed, 1 stored" in replayed.stdout


def test_a_collector_that_hangs_does_not_hide_what_the_other_keeps(collector, broker) -> None:
    item = QuarantineItem(7, 10**18, "tinyprof/1/00/x", "is no record", 3)
    collector({"quarantine": lambda _: [QuarantineReply([item], 1)]}, name="one", partitions=list(range(8)))
    collector({}, name="frozen", partitions=list(range(8, 16)))
    listed = call("quarantine", "list", broker=broker.url)
    assert "is no record" in listed.stdout
    assert listed.stderr.splitlines()[-1] == "incomplete: collector frozen is silent"
    assert listed.exit_code == 0


@pytest.mark.parametrize("action", ["show", "replay"])
def test_an_item_that_is_not_in_quarantine_is_one_line_and_exit_1(collector, broker, action) -> None:
    collector({"quarantine": lambda _: [QuarantineReply([], 0)]})
    result = call("quarantine", action, "77", broker=broker.url)
    assert result.exit_code == 1
    assert one_line(result).startswith("tinyprof: no item 77 is in quarantine")


# ---- a collector's partitions


@pytest.mark.parametrize(
    ("text", "partitions"),
    [("0-15", list(range(16))), ("3", [3]), ("8-9, 1,9", [1, 8, 9]), ("0-0", [0])],
)
def test_partitions_on_the_command_line(text, partitions) -> None:
    assert partitions_given(None, None, text) == partitions


@pytest.mark.parametrize("text", ["", "16", "0-16", "7-3", "a", "-1", "1-", "1--2", "²"])
def test_partitions_that_are_none_are_wrong_use(text) -> None:
    result = call("collector", "run", "--partitions", text)
    assert result.exit_code == 2
    assert "--partitions" in result.stderr

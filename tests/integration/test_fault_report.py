"""What a failed round leaves for whoever has to run it again."""

import json

from faults import report
from faults.plan import Site, draw

SITE = Site("mosquitto", ("sqlite",), small_spool=False, small_disks=False)


def failed_round() -> report.RoundReport:
    return report.RoundReport(
        7, SITE, draw("ab12", 7, SITE, 3), why="two records are missing", journal_end="9.00 s  calm"
    )


def test_a_failed_round_tells_how_to_run_it_again_and_what_was_done():
    told = report.how_to_repeat("ab12", failed_round(), "brokers [embedded; mosquitto], stores [sqlite], no disks")
    assert "make faults SEED=ab12 ROUND=7" in told
    assert "brokers [embedded; mosquitto], stores [sqlite], no disks" in told
    assert "two records are missing" in told
    assert told.endswith("9.00 s  calm")
    assert all(str(fault) in told for fault in failed_round().faults)


def test_its_folder_says_what_the_site_was_drawn_from(tmp_path):
    done = failed_round()
    report.write_schedule(tmp_path, "ab12", 7, SITE, done.faults, "brokers [mosquitto]")
    assert json.loads((tmp_path / "schedule.json").read_text())["drawn_from"] == "brokers [mosquitto]"
    journal = report.Journal(tmp_path)
    for number in range(70):
        journal.say(f"line {number}")
    assert journal.end().splitlines()[0].endswith("line 10")

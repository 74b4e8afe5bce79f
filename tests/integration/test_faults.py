"""The fault harness for a while: with a seed that is always the same, and on request with one of chance.

TINYPROF_FAULT_MINUTES says for how long, and adds a run with a random seed, which it prints, for a third of that.
`make faults` runs more.
"""

import os
import secrets
from pathlib import Path

import pytest
from faults import harness, report

MINUTES = float(os.environ.get("TINYPROF_FAULT_MINUTES", "1"))


SEEDS = [pytest.param("fixed", MINUTES, id="fixed")]
if "TINYPROF_FAULT_MINUTES" in os.environ:
    # Not before every landing: what chance finds in an old part is no reason to hold a new one back.
    SEEDS.append(pytest.param("", MINUTES / 3, id="random"))


@pytest.mark.timeout(MINUTES * 60 + 600)
@pytest.mark.parametrize(("seed", "minutes"), SEEDS)
def test_each_record_is_there_once_whatever_goes_wrong(seed: str, minutes: float, tmp_path: Path, capsys):
    seed = seed or secrets.token_hex(4)
    means = harness.find_means(tmp_path, dict(os.environ))
    if os.environ.get("TINYPROF_TEST_EVERYTHING"):
        assert not [line for line in means.left_out() if "mounted" not in line]
    with capsys.disabled():
        print(f"\nfaults drawn from SEED={seed} for {minutes:g} minutes", flush=True)
    reports = harness.run(seed, minutes, 1, means, print, tmp_path)
    assert sum(len(one.faults) for one in reports) >= harness.FAULTS_A_ROUND
    failed = [report.how_to_repeat(seed, one, str(means)) for one in reports if one.why]
    assert not failed, "\n\n".join([f"SEED={seed}, logs under {tmp_path}", *failed])

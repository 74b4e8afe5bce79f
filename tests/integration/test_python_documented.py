"""The examples of docs/python.md, run as they stand against a real site whose boards answer at once."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from brokers import make_broker
from job_site import JobSite

TEXT = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    broker = make_broker("embedded", folder)
    broker.start()
    running = JobSite(folder, broker, ["pico-1", "pico-2"], platform="rp2040")
    running.start()
    yield running
    running.stop()
    broker.stop()


def test_there_are_examples():
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs(site, number):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXAMPLES[number]],
        env={**os.environ, "TINYPROF_BROKER": site.broker.url},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout

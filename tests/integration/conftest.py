"""Fixtures: a broker of each kind, and a site around it whose processes all end with the test."""

import contextlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from brokers import Broker, make_broker
from conservation import Site


@pytest.fixture(params=["embedded", "mosquitto"])
def any_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """The test runs against each broker."""
    broker = make_broker(request.param, tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """The embedded broker."""
    broker = make_broker("embedded", tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes sites; all their processes are ended with the test."""
    sites: list[Site] = []

    def make(broker: Broker, **options: str) -> Site:
        sites.append(Site(tmp_path, broker, **options))
        return sites[-1]

    yield make
    for site in sites:
        for role in site.roles:
            with contextlib.suppress(Exception):
                role.kill()


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Seeded by the test's name, so that a failure can be seen again."""
    return random.Random(request.node.name)

"""Fixtures: a broker of each kind, and a site around it whose processes all end with the test."""

import contextlib
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from brokers import Broker, make_broker
from conservation import Site
from firmware_boards import LINUX, QEMU, FirmwareBoard


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


@pytest.fixture
def make_board() -> Iterator[Callable[..., FirmwareBoard]]:
    """Makes boards; all that they started is ended with the test."""
    made: list[FirmwareBoard] = []
    with tempfile.TemporaryDirectory(prefix="tp") as folder:

        def make(kind: str, **how: Any) -> FirmwareBoard:
            made.append(FirmwareBoard(kind, Path(folder), **how))
            return made[-1]

        yield make
        for board in made:
            board.close()


@pytest.fixture(params=[QEMU, LINUX])
def board(request: pytest.FixtureRequest, make_board: Callable[..., FirmwareBoard]) -> FirmwareBoard:
    """Each of the two."""
    return make_board(request.param)


@pytest.fixture
def qemu(make_board: Callable[..., FirmwareBoard]) -> FirmwareBoard:
    """The STM32F405."""
    return make_board(QEMU)

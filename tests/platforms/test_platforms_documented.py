from pathlib import Path

from tinyprof_platforms.catalogue import shipped_platforms
from tinyprof_platforms.document import markdown

DOCUMENT = Path(__file__).parents[2] / "docs" / "platforms.md"


def test_the_page_is_written_from_the_catalogue() -> None:
    assert DOCUMENT.read_text() == markdown(shipped_platforms())


def test_the_page_has_every_source() -> None:
    text = DOCUMENT.read_text()
    for one in shipped_platforms().values():
        assert all(region.source in text for region in one.ram)
        assert one.clock_hz is not None
        assert one.clock_hz.source in text

"""Who hears what stored records say."""

import pytest

from tinyprof_collector.news import News
from tinyprof_collector.stored_news import StoredNews


class Follower:
    """Stands for any of those that are told; it may be unable to take it."""

    def __init__(self, name: str, heard: list[str], fails: str) -> None:
        self._name, self._heard, self._fails = name, heard, fails

    def take(self, *_: object) -> list[object]:
        if self._name == self._fails:
            raise RuntimeError(f"{self._name} cannot take it")
        self._heard.append(self._name)
        return []

    stored = take

    def agents(self) -> dict[str, object]:
        return {}

    def put(self, _: object) -> None:
        """What follows is for nobody here."""


@pytest.mark.parametrize("fails", ["cache", "live", "lookout", "jobs"])
def test_one_that_cannot_take_it_keeps_it_from_no_other(make, fails):
    news, heard = News(), []
    news.of_jobs = [make.arrival(1)]
    cache, live, lookout, jobs = (Follower(name, heard, fails) for name in ("cache", "live", "lookout", "jobs"))
    told = StoredNews(cache, live, lookout, jobs, jobs, lambda: make.now_ns)
    with pytest.raises(RuntimeError, match=f"{fails} cannot take it"):
        told.tell([news])
    assert heard == [name for name in ("cache", "live", "lookout", "jobs") if name != fails]

"""The map of the cache against a model of it: what is held, what went and why, and what is to be kept elsewhere."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tinyprof_collector.cache.lru import Held, Lru

SIZE, TTL_NS = 3, 10
keys = st.binary(min_size=1, max_size=1).filter(lambda key: key < b"\x06")


@dataclass
class Model:
    """A list in the order of use, looked through from end to end: slow, and plainly right."""

    held: list[tuple[bytes, int, int]] = field(default_factory=list)
    """Key, value, born."""
    inserted: int = 0
    evicted: int = 0
    expired: int = 0

    def age(self, now_ns: int) -> None:
        young = [one for one in self.held if now_ns - one[2] <= TTL_NS]
        self.expired += len(self.held) - len(young)
        self.held = young

    def find(self, key: bytes) -> tuple[bytes, int, int] | None:
        return next((one for one in self.held if one[0] == key), None)

    def use(self, one: tuple[bytes, int, int]) -> None:
        self.held = [other for other in self.held if other[0] != one[0]] + [one]

    def put(self, key: bytes, value: int, born_ns: int, now_ns: int) -> bool:
        if now_ns - born_ns > TTL_NS:
            return False
        self.use((key, value, born_ns))
        self.inserted += 1
        if len(self.held) > SIZE:
            del self.held[0]
            self.evicted += 1
        return True


class LruAgainstItsModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.lru: Lru[int] = Lru(SIZE, TTL_NS)
        self.model = Model()
        self.now_ns = 100
        self.next_value = 0
        self.kept: dict[bytes, tuple[int, int]] = {}
        """What a file would hold that is told of the changes alone."""

    @rule(key=keys, age_ns=st.integers(0, TTL_NS + 3))
    def put(self, key: bytes, age_ns: int) -> None:
        self.next_value += 1
        self.sweep()
        born_ns = self.now_ns - age_ns
        taken = self.lru.put(key, self.next_value, born_ns, self.now_ns)
        assert taken == self.model.put(key, self.next_value, born_ns, self.now_ns)

    @rule(key=keys)
    def get(self, key: bytes) -> None:
        self.sweep()
        held, expected = self.lru.get(key, self.now_ns), self.model.find(key)
        assert (held and (held.value, held.born_ns)) == (expected and expected[1:])
        if expected is not None:
            self.model.use(expected)

    @rule(key=keys)
    def peek(self, key: bytes) -> None:
        self.sweep()
        held, expected = self.lru.peek(key, self.now_ns), self.model.find(key)
        assert (held and (held.value, held.born_ns)) == (expected and expected[1:])

    @rule(by_ns=st.integers(1, TTL_NS))
    def time_passes(self, by_ns: int) -> None:
        self.now_ns += by_ns

    @rule(by_ns=st.integers(1, 3 * TTL_NS))
    def the_clock_is_set_back(self, by_ns: int) -> None:
        self.sweep()
        self.now_ns -= by_ns
        self.model.held = [(key, value, min(born_ns, self.now_ns)) for key, value, born_ns in self.model.held]

    def sweep(self) -> None:
        self.lru.sweep(self.now_ns)
        self.model.age(self.now_ns)

    @rule()
    def clear(self) -> None:
        self.sweep()
        assert self.lru.clear() == len(self.model.held)
        self.model.held = []

    @rule()
    def keep(self) -> None:
        self.sweep()
        changed, everything = self.lru.changes()
        if everything:
            self.kept = {key: (held.value, held.born_ns) for key, held in self.lru.items()}
        for key in changed:
            held = self.lru.held(key)
            if held is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = (held.value, held.born_ns)
        # A clock that was set back changes when a value was born, which a file need not know.
        assert {key: value for key, (value, _) in self.kept.items()} == {one[0]: one[1] for one in self.model.held}

    @precondition(lambda self: self.kept)
    @rule()
    def restart(self) -> None:
        self.keep()
        again: Lru[int] = Lru(SIZE, TTL_NS)
        again.restore([(key, Held(value, born_ns)) for key, value, born_ns in self.model.held], self.now_ns)
        assert (again.inserted, again.evicted, again.expired) == (0, 0, 0)
        self.lru = again
        self.model = Model(list(self.model.held))

    @invariant()
    def they_agree(self) -> None:
        self.sweep()
        assert [(key, held.value, held.born_ns) for key, held in self.lru.items()] == self.model.held
        counted = (self.lru.inserted, self.lru.evicted, self.lru.expired, len(self.lru))
        assert counted == (self.model.inserted, self.model.evicted, self.model.expired, len(self.model.held))


LruAgainstItsModel.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestLruAgainstItsModel = LruAgainstItsModel.TestCase


def test_nothing_is_served_for_longer_than_its_ttl_without_any_sweep() -> None:
    lru: Lru[str] = Lru(2, TTL_NS)
    assert lru.put(b"a", "value", 0, 0)
    assert lru.get(b"a", TTL_NS) is not None
    assert lru.get(b"a", TTL_NS + 1) is None
    assert (len(lru), lru.expired) == (0, 1)


def test_a_value_counts_how_often_it_was_asked_for_and_a_younger_one_goes_on_counting() -> None:
    lru: Lru[str] = Lru(2, TTL_NS)
    lru.put(b"a", "old", 0, 0)
    lru.get(b"a", 1)
    lru.get(b"a", 1)
    lru.put(b"a", "young", 1, 1)
    held = lru.get(b"a", 2)
    assert held is not None
    assert (held.value, held.hits) == ("young", 3)


def test_a_cache_without_room_holds_nothing() -> None:
    lru: Lru[str] = Lru(0, TTL_NS)
    assert not lru.put(b"a", "value", 0, 0)
    assert lru.get(b"a", 0) is None


def test_more_changes_than_can_be_told_one_by_one_mean_that_everything_may_have_changed() -> None:
    lru: Lru[int] = Lru(2, TTL_NS)
    for number in range(3):
        lru.put(bytes([number]), number, 0, 0)
    assert lru.changes() == ([b"\x01", b"\x02", b"\x00"], False)
    for number in range(100):
        lru.put(bytes([number]), number, 1, 1)
    changed, everything = lru.changes()
    assert everything
    assert len(changed) <= 4
    assert lru.changes() == ([], False)

"""The schedule of faults: the same for a seed, within its rules, and for every kind there is."""

import itertools
from dataclasses import replace

from faults.plan import RULES, Fault, Site, draw, draw_site, targets, timeline
from hypothesis import given, settings
from hypothesis import strategies as st

BROKERS = ("embedded", "mosquitto", "mosquitto, 100 queued")
STORES = (("sqlite",), ("influxdb",), ("sqlite", "influxdb"))
ALL = Site("mosquitto", ("sqlite", "influxdb"), small_spool=True, small_disks=True)
SEVERAL = Site("mosquitto", ("influxdb",), small_spool=True, small_disks=True, collectors=2)
LEAST = Site("embedded", ("sqlite",), small_spool=False, small_disks=False)
sites = st.one_of(
    st.builds(Site, st.sampled_from(BROKERS), st.sampled_from(STORES), st.booleans(), st.booleans()),
    st.builds(Site, st.sampled_from(BROKERS), st.just(("influxdb",)), st.booleans(), st.booleans(), st.just(2)),
)


def test_same_seed_draws_the_same_and_another_seed_or_round_something_else():
    assert draw("a", 3, ALL, 20) == draw("a", 3, ALL, 20)
    assert draw("a", 3, ALL, 20) != draw("b", 3, ALL, 20)
    assert draw("a", 3, ALL, 20) != draw("a", 4, ALL, 20)


def test_draw_is_the_one_that_it_always_was():
    """A seed in a report of long ago must still mean the same faults; who changes the rules changes this line."""
    first = [(fault.at_ms, fault.kind, fault.target) for fault in draw("fixed", 0, LEAST, 2)]
    assert first == [
        (2863, "kill", "two"),
        (3841, "echo", "collector"),
    ]


@given(seed=st.text(max_size=8), site=sites)
@settings(max_examples=60, deadline=None)
def test_every_fault_has_a_target_and_keeps_to_its_rule(seed: str, site: Site):
    faults = draw(seed, 0, site, 30)
    assert len(faults) == 30
    assert faults == sorted(faults, key=lambda fault: fault.at_ms)
    for fault in faults:
        rule = RULES[fault.kind]
        assert fault.target in targets(fault.kind, site)
        assert rule.hold_ms[0] <= fault.hold_ms <= rule.hold_ms[1]
        assert rule.amount[0] <= fault.amount <= rule.amount[1]


@given(seed=st.text(max_size=8), site=sites)
@settings(max_examples=60, deadline=None)
def test_two_faults_never_hold_the_same_thing_at_once(seed: str, site: Site):
    held: dict[str, Fault] = {}
    for fault in draw(seed, 0, site, 40, every_ms=200):
        for slot in fault.slots:
            before = held.get(slot)
            assert before is None or before.at_ms + before.hold_ms < fault.at_ms, (before, fault)
            held[slot] = fault


def test_all_kinds_come_where_a_site_has_every_part():
    drawn = itertools.chain.from_iterable(
        draw("all", number, site, 30) for number in range(20) for site in (ALL, SEVERAL)
    )
    assert {fault.kind for fault in drawn} == set(RULES)


def test_faults_of_a_part_that_is_not_there_are_not_drawn():
    drawn = list(itertools.chain.from_iterable(draw("few", number, LEAST, 30) for number in range(20)))
    assert {"wrong token", "store away", "fill disk", "shorten retention"}.isdisjoint(fault.kind for fault in drawn)
    assert "database" not in {fault.target for fault in drawn}


def test_each_broker_with_each_store_has_its_turn():
    drawn = [draw_site("turns", number, BROKERS, STORES, True) for number in range(9)]
    assert {(site.broker, site.stores) for site in drawn} == set(itertools.product(BROKERS, STORES))


def test_file_systems_are_only_drawn_where_they_can_be_made():
    assert not any(draw_site("disks", number, BROKERS, STORES, False).small_disks for number in range(50))
    assert any(draw_site("disks", number, BROKERS, STORES, True).small_disks for number in range(50))


def test_timeline_ends_a_fault_before_another_begins_at_the_same_time():
    one = Fault(1000, "kill", "one", 500, 0)
    two = Fault(1500, "kill", "two", 0, 0)
    assert timeline([one, two]) == [(1000, True, one), (1500, False, one), (1500, True, two)]


def test_two_collectors_come_where_they_can_and_change_no_other_part_of_a_site():
    def sites(several):
        return [draw_site("few", number, BROKERS, STORES, True, several) for number in range(60)]

    alone, some, every = sites("no"), sites("some"), sites("all")
    assert {site.collectors for site in alone} == {1}
    assert {site.collectors for site in some if site.stores == ("influxdb",)} == {1, 2}
    assert [replace(site, collectors=1) for site in some] == alone
    assert {(site.stores, site.collectors) for site in every} == {(("influxdb",), 2)}


def test_a_hand_over_has_both_collectors_for_itself_and_each_is_its_target():
    drawn = list(itertools.chain.from_iterable(draw("hand", number, SEVERAL, 30) for number in range(10)))
    handed = [fault for fault in drawn if fault.kind == "hand over"]
    assert {fault.target for fault in handed} == {"collector", "second"}
    assert set(handed[0].slots) == {"process collector", "process second"}
    assert "redis" in {fault.target for fault in drawn if fault.kind == "kill"}
    assert "hand over" not in {fault.kind for fault in draw("hand", 0, ALL, 200)}

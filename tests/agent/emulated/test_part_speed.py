"""What the estimate takes from the platform catalogue."""

from tinyprof_agent.drivers.emulated.part_speed import part_speed


def test_a_part_has_its_clock_and_flash_and_an_unknown_one_nothing() -> None:
    found = part_speed("stm32f405")
    assert found is not None
    assert found.clock_hz == 168e6
    assert 1e6 < found.flash_bytes_per_s < 1e9
    assert part_speed("stm32f7") is not None, "a family is found by its alias"
    assert part_speed("no-such-part") is None
    assert part_speed(None) is None

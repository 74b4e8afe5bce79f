import dataclasses
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_models.catalogue import shipped_model
from tinyprof_platforms.catalogue import (
    CatalogueError,
    Platform,
    find_platform,
    parse_platforms,
    read_host,
    shipped_platforms,
)
from tinyprof_platforms.engine_memory import KV_CACHES, Arithmetic, KvCache, Room, kv_position_bytes, ram_need
from tinyprof_platforms.fit import BadArithmetic, bound, fit, largest_ctx, weight_file_bytes
from tinyprof_platforms.gguf_header import read_header
from tinyprof_platforms.llama_shape import LlamaShape, llama_shape

NAMES = ("stories260k-f32", "stories260k-q8_0", "stories260k-q4_0")
SHAPES = {name: llama_shape(read_header(shipped_model(name).path)) for name in NAMES}
Q4 = SHAPES["stories260k-q4_0"]


def platform(name: str) -> Platform:
    return find_platform(name)[1]


def test_the_catalogue_has_every_platform_that_is_promised() -> None:
    assert set(shipped_platforms()) == {
        "esp32", "esp32-s3", "esp32-c3", "esp8266", "stm32f405", "stm32f746", "stm32f767", "rp2040", "rp2350",
        "nrf52840", "raspberry-pi-zero", "raspberry-pi-zero-2-w", "jetson-nano",
    }  # fmt: skip


def test_every_figure_has_a_source_and_every_rate_is_there() -> None:
    for key, one in shipped_platforms().items():
        rates = (one.clock_hz, one.weights_bytes_s, one.ram_bytes_s, one.int8_macs_per_cycle, one.float_macs_per_cycle)
        for figure in (*rates, one.cache_bytes):
            assert figure is not None, key
            assert len(figure.source) >= 8
        assert all(rate is not None and rate.value > 0 for rate in rates)
        assert one.ram_bytes > 0
        assert (one.weights_in == "ram") == one.has_system


def test_platforms_are_found_by_alias_and_a_wrong_name_lists_them() -> None:
    assert find_platform("stm32f4") == ("stm32f405", shipped_platforms()["stm32f405"])
    with pytest.raises(CatalogueError, match=r"'pico'; there are esp32, .* and host"):
        find_platform("pico")


ENTRY = (
    (resources.files("tinyprof_platforms") / "platforms.toml").read_text().partition("[rp2040]")[2].partition("\n[")[0]
)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("tick_bits = 32", "tick_bits = 32\nclock = 1", "clock"),
        ("tick_bits = 32", 'tick_bits = 32\naliases = ["mine"]', "two platforms are called 'mine'"),
        ('where = "external"', 'where = "nowhere"', "nowhere"),
        ("bytes = 270_336, ", "", "bytes"),
        (', source = "RP2040 Datasheet, XIP: a cache of 16 KB"', "", "source"),
    ],
)
def test_a_wrong_catalogue_says_what_is_wrong(old: str, new: str, says: str) -> None:
    assert list(parse_platforms("[mine]" + ENTRY, "mine.toml")) == ["mine"]
    assert old in ENTRY
    with pytest.raises(CatalogueError, match=says) as raised:
        parse_platforms("[mine]" + ENTRY.replace(old, new), "mine.toml")
    assert str(raised.value).startswith("mine.toml: ")


def test_the_host_says_its_memory_and_no_rate() -> None:
    host = read_host()
    assert host.ram_bytes > 64 << 20
    assert host.weights_bytes_s is None
    assert bound(Q4, host, Arithmetic(256, "f32", "int8"), 0) is None
    assert fit(Q4, host, Arithmetic(256, "f32", "int8")).fits


def test_bytes_a_position_are_those_of_the_design() -> None:
    assert [kv_position_bytes(Q4, cache) for cache in KV_CACHES] == [1280, 640, 340]


def test_a_short_context_is_held_by_the_text_that_shares_its_memory() -> None:
    wordy = dataclasses.replace(Q4, longest_piece_bytes=500)
    assert ram_need(wordy, Arithmetic(8, "q8_0", "int8"), Room()).kv_cache == 8 * 500 * 5 + 2
    assert ram_need(Q4, Arithmetic(8, "q8_0", "int8"), Room()).kv_cache == 8 * 340


def test_defaults_of_the_targets_fit_and_float_weights_do_not_fit_a_megabyte() -> None:
    defaults: list[tuple[str, int, KvCache]] = [
        ("stm32f405", 256, "q8_0"), ("rp2040", 256, "f16"), ("stm32f746", 256, "f16"), ("stm32f767", 256, "f16"),
        ("esp32-c3", 256, "f16"), ("esp8266", 192, "q8_0"),
    ]  # fmt: skip
    for name, ctx, cache in defaults:
        found = fit(Q4, platform(name), Arithmetic(ctx, cache, "int8"))
        assert found.fits, (name, found.obstacles)
        assert found.remedies == ()
    whole = fit(SHAPES["stories260k-f32"], platform("stm32f405"), Arithmetic(256, "q8_0", "float32"))
    assert [line.partition(":")[0] for line in whole.obstacles] == ["flash"]
    assert whole.remedies == ("weights in Q8_0: about 313,280 bytes", "weights in Q4_0: about 190,400 bytes")
    assert fit(SHAPES["stories260k-f32"], platform("stm32f767"), Arithmetic(256, "f16", "float32")).fits


def test_what_would_make_it_fit_does() -> None:
    how = Arithmetic(256, "f32", "int8")
    found = fit(Q4, platform("stm32f405"), how)
    assert not found.fits
    assert len(found.remedies) == 3
    assert "--ctx 88 --kv f32" in found.remedies[0]
    assert "--ctx 176 --kv f16" in found.remedies[1]
    assert "(--kv q8_0)" in found.remedies[2]
    fitting: list[tuple[int, KvCache]] = [(88, "f32"), (176, "f16"), (256, "q8_0")]
    for ctx, cache in fitting:
        assert fit(Q4, platform("stm32f405"), Arithmetic(ctx, cache, "int8")).fits
    for ctx, cache in [(ctx + 8, cache) for ctx, cache in fitting[:2]]:
        assert not fit(Q4, platform("stm32f405"), Arithmetic(ctx, cache, "int8")).fits


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(shipped_platforms())), st.sampled_from(KV_CACHES), st.integers(8, 256))
def test_the_largest_context_fits_and_the_next_does_not(name: str, cache: KvCache, ctx: int) -> None:
    how, board = Arithmetic(ctx, "f32", "int8"), platform(name)
    largest = largest_ctx(Q4, board, how, cache)
    room = Room(board.tick_bits, board.stack_bytes, board.prompt_bytes)
    in_ram = board.weights_in == "ram"
    if largest:
        arithmetic = Arithmetic(largest, cache, "int8")
        assert ram_need(Q4, arithmetic, room, weights_in_ram=in_ram).total <= board.ram_bytes
    if largest < ctx - 8:
        more = Arithmetic(largest + 8, cache, "int8")
        assert ram_need(Q4, more, room, weights_in_ram=in_ram).total > board.ram_bytes


def test_where_nothing_helps_it_says_so() -> None:
    huge = dataclasses.replace(Q4, vocabulary=100_000)
    found = fit(huge, platform("stm32f405"), Arithmetic(256, "q8_0", "int8"))
    assert found.remedies[0] == "nothing: even 32 positions do not leave enough RAM"


def test_weights_that_the_engine_does_not_read_are_an_obstacle_with_a_remedy() -> None:
    strange = dataclasses.replace(Q4.matrices[0], type=Q4.matrices[0].type._replace(name="Q6_K"))
    found = fit(dataclasses.replace(Q4, matrices=(strange, *Q4.matrices[1:])), platform("rp2040"),
                Arithmetic(256, "q8_0", "int8"))  # fmt: skip
    assert found.obstacles == ("its weights are Q6_K: the engine reads F32, Q8_0, Q4_0",)
    assert found.remedies[-1].startswith("weights in Q4_0")


@pytest.mark.parametrize("how", [Arithmetic(257, "f32", "int8"), Arithmetic(0, "f32", "int8")])
def test_a_context_that_the_model_has_not_is_wrong(how: Arithmetic) -> None:
    with pytest.raises(BadArithmetic, match="256 positions"):
        fit(Q4, platform("rp2040"), how)


def test_a_q8_0_cache_of_rows_that_are_no_blocks_is_wrong() -> None:
    with pytest.raises(BadArithmetic, match="blocks of 32"):
        fit(dataclasses.replace(Q4, kv_heads=2), platform("rp2040"), Arithmetic(256, "q8_0", "int8"))


def test_sizes_of_other_quantisations_are_those_of_the_files() -> None:
    for shape in SHAPES.values():
        for kind, name in zip(("F32", "Q8_0", "Q4_0"), NAMES, strict=True):
            assert weight_file_bytes(shape, kind) == pytest.approx(SHAPES[name].file_bytes, rel=0.001)


def test_the_bound_by_hand() -> None:
    how = Arithmetic(256, "f16", "int8")
    f405 = bound(Q4, platform("stm32f405"), how, 0)
    assert f405 is not None
    # One multiplication a clock: 168 MHz over the weights that a token meets.
    assert f405.binds == "multiplications"
    assert f405.tps == pytest.approx(168e6 / Q4.macs_a_token)
    s3 = bound(Q4, platform("esp32-s3"), how, 0)
    assert s3 is not None
    # 40 MB/s of flash for what the cache of 64 KB does not hold.
    assert s3.binds == "weights"
    assert s3.tps == pytest.approx(40e6 / (Q4.weight_bytes_a_token - 65_536))


def test_the_bound_falls_with_the_position_and_is_not_below_zero_reads() -> None:
    how = Arithmetic(256, "f32", "int8")
    for key in shipped_platforms():
        empty, full = (bound(Q4, platform(key), how, position) for position in (0, 256))
        assert empty is not None
        assert full is not None
        assert 0 < full.tps <= empty.tps
        assert full.cache_s > empty.cache_s == 0
    nano = bound(Q4, platform("jetson-nano"), how, 0)
    assert nano is not None
    assert nano.weights_s == 0  # the whole model stays in its level 2 cache


def test_without_quantized_weights_int8_activations_are_none() -> None:
    floats: LlamaShape = SHAPES["stories260k-f32"]
    both = [bound(floats, platform("rp2040"), Arithmetic(256, "f16", kind), 0) for kind in ("int8", "float32")]
    assert both[0] == both[1]

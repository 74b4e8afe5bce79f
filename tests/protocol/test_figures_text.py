import pytest

from tinyprof_protocol import figures_text
from tinyprof_protocol.metrics import METRICS


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.8341, "0.834"), (2.17, "2.170"), (12.345, "12.35"), (834.21, "834.2"), (4258.7, "4259"),
     (12345.6, "12346"), (1.2e6, "1.20M"), (3.5e9, "3.50G")],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    assert figures_text.number(value) == text


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [("temperature_c", 31.0, "31.0"), ("decode_tps", 2.173, "2.17"), ("ram_peak_bytes", 196_000, "191 KiB"),
     ("output_tokens", 48, "48"), ("ttft_ms", 23.841, "23.84"), ("cpu_ns_per_token", 180_765.1, "180.8"),
     ("cpu_clock_hz", 1.5e9, "1500"), ("cpu_share", 0.996, "99.60"), ("clock_drift_ratio", -1.25e-5, "-12.50"),
     ("unheard_of", 1.5, "1.500")],
)  # fmt: skip
def test_amounts_take_their_metrics_precision(metric: str, value: float, text: str) -> None:
    assert figures_text.amount(metric, value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (25_088, "24.5 KiB"),
        (102_360, "100 KiB"),
        (1_048_000, "1023 KiB"),
        (3_250_586, "3.1 MiB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert figures_text.size(count) == text


def test_no_unit_is_shown_as_it_stands_in_names() -> None:
    shown = {name: figures_text.unit(name) for name in METRICS}
    assert not {"us", "ns", "degC", "ratio", "Hz", "tok/s", "B"} & set(shown.values())
    assert (shown["itl_p50_us"], shown["cpu_ns_per_token"], shown["decode_tps"]) == ("µs", "µs", "tokens/s")
    assert (shown["clock_drift_ratio"], shown["cpu_share"], shown["ram_peak_bytes"]) == ("ppm", "%", "")

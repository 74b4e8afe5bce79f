from tinyprof.plot import draw
from tinyprof.result_view import show_result
from tinyprof_protocol.records import Build, ClockReport, Conditions, Figure, Repetition, Result


def result(**changes) -> Result:
    build = Build(
        platform="pico", engine="ref", engine_build="1", model="m", model_sha256="0" * 64, quantisation="Q8_0",
        kv_cache="f32", activations="int8", ctx=256, timing="device",
    )  # fmt: skip
    fields = {
        "run_id": b"r" * 16,
        "board": "pico-1",
        "build": build,
        "suite": "quick",
        "prompts": ["One day"],
        "max_tokens": 4,
        "verdict": "unstable",
        "reasons": ["the interval of TTFT is 7% wide"],
        "golden": "match",
        "clock": ClockReport("unchecked", why="too short"),
        "figures": {"ttft_ms": Figure(1.5, 1.25, 1.75, 0.96875, 6)},
        "repetitions": [],
        "conditions": Conditions(),
        "timed_s": 2.0,
    }
    return Result(**(fields | changes))


def shown(**changes) -> str:
    return "\n".join(show_result(result(**changes)))


def test_the_verdict_comes_first_and_then_its_reasons() -> None:
    lines = show_result(result())
    assert lines[0].startswith("UNSTABLE  pico-1")
    assert lines[1].strip() == "the interval of TTFT is 7% wide"


def test_a_prompt_stands_with_its_output() -> None:
    assert "prompt   One day\noutput   in May" in shown(output=" in May")


def test_an_output_that_the_context_cut_short_says_so() -> None:
    cut, ended = (Repetition(0, 1.5, 0.5, prompt_tokens=227, output_tokens=n) for n in (29, 20))
    assert "context  of 256 tokens was full after 29 of 50 tokens wanted" in shown(repetitions=[cut], max_tokens=50)
    assert "was full" not in shown(repetitions=[cut], max_tokens=29)
    assert "was full" not in shown(repetitions=[ended], max_tokens=50)


def test_a_time_below_a_millisecond_keeps_its_digits() -> None:
    assert "0.456 ms" in shown(figures={"ttft_ms": Figure(0.4564)})


def test_a_figure_has_its_interval_with_its_true_coverage() -> None:
    assert "96.9% interval 1.250 to 1.750, n = 6" in shown()


def test_a_figure_without_an_interval_claims_none() -> None:
    assert "interval" not in shown(figures={"ttft_ms": Figure(1.5, n=3)}, reasons=[])


def test_an_estimate_says_so() -> None:
    said = shown(figures={"decode_tps": Figure(20, 10, 30, estimated=True)})
    assert "estimated interval 10.00 to 30.00" in said
    assert " ~20.00 tokens/s" in said
    assert "~" not in shown(figures={"decode_tps": Figure(20, 10, 30, coverage=0.95)})


def test_a_peak_resident_set_is_marked() -> None:
    figures = {"ram_peak_bytes": Figure(2048)}
    assert "peak RSS" in shown(figures=figures, ram_is_rss=True)
    assert "peak RSS" not in shown(figures=figures)


def test_a_clock_that_could_not_be_checked_says_why() -> None:
    assert "clock    could not be checked (too short)" in shown(repetitions=[Repetition(0, 1.5, None, 3, 1)])


def test_a_run_that_was_refused_does_not_complain_of_its_clock_too() -> None:
    text = shown(verdict="invalid", reasons=["refused: the prompt is too long"], figures={})
    assert "refused" in text
    assert "clock" not in text


def test_units_are_those_of_the_dashboard() -> None:
    figures = {"itl_p50_us": Figure(161.82), "cpu_ns_per_token": Figure(180_765.1), "decode_tps": Figure(5946.1),
               "cpu_share": Figure(0.8799), "ram_peak_bytes": Figure(45_000_000)}  # fmt: skip
    lines = shown(figures=figures, clock=ClockReport("checked", span_s=2.0, drift_ratio=-1.25e-5)).splitlines()
    assert {" ".join(line.split()) for line in lines} >= {
        "ITL p50 161.8 µs", "CPU/token 180.8 µs", "decode 5946 tokens/s", "CPU share 87.99 %", "RAM peak 42.9 MiB",
    }  # fmt: skip
    assert "drift -12.50 ppm over 2.0 s" in "\n".join(lines)


def test_a_run_without_figures_says_so() -> None:
    assert "no figures" in shown(figures={}, verdict="invalid")


def test_nothing_that_a_board_says_drives_the_terminal() -> None:
    text = shown(output="a\x1b[2Jb\nc", reasons=["x\x07y"])
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "a [2Jb c" in text


def test_a_plot_starts_at_zero_so_that_its_least_value_does_not_look_like_it() -> None:
    lines = draw([(n * 10**9, float(value)) for n, value in enumerate([50, 100, 75])], 60, 6)
    assert len(lines) == 7
    assert lines[0].startswith(f"{100:>12}")
    assert lines[5].startswith(f"{0:>12}")
    heights = [sum(line[14:].ljust(46)[place] == "█" for line in lines[:6]) for place in (0, 22, 45)]
    assert heights == [3, 6, 4]


def test_a_plot_of_values_below_zero_spans_the_least_and_the_most() -> None:
    lines = draw([(n * 10**9, float(n % 5 - 2)) for n in range(40)], 60, 6)
    assert lines[0].startswith(f"{2:>12}")
    assert lines[5].startswith(f"{-2:>12}")


def test_a_plot_of_one_value_or_of_equal_values() -> None:
    for points in ([(5, 1.0)], [(5, 1.0), (6, 1.0)]):
        assert len(draw(points, 40, 4)) == 5

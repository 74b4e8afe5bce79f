"""How fast the machine reads, by a clock that the test moves."""

from tinyprof_models.catalogue import shipped_model
from tinyprof_models.engine import Engine
from tinyprof_models.model_file import read_model
from tinyprof_models.read_rate import ENOUGH_NS, best_read_rate
from tinyprof_platforms.gguf_header import read_header
from tinyprof_platforms.llama_shape import llama_shape


class Clock:
    """Each pass takes as long as the next of `passes_ns`, the last of them for ever."""

    def __init__(self, passes_ns: list[int]) -> None:
        self._passes_ns = passes_ns
        self._now_ns = 0
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        # The first reading begins the whole; then one before and one after each pass.
        if self.asked > 1 and self.asked % 2:
            self._now_ns += self._passes_ns.pop(0) if len(self._passes_ns) > 1 else self._passes_ns[0]
        return self._now_ns


def test_the_quickest_pass_counts() -> None:
    assert best_read_rate(4000, Clock([3000, 1000, 2000, 9000])) == 4000 * 1e9 / 1000


def test_it_ends_after_its_time_but_not_before_five_passes() -> None:
    slow, quick = Clock([ENOUGH_NS * 2]), Clock([ENOUGH_NS // 10])
    best_read_rate(4000, slow)
    best_read_rate(4000, quick)
    assert (slow.asked, quick.asked) == (1 + 2 * 5, 1 + 2 * 10)


def test_this_machine_reads_more_than_a_megabyte_a_second() -> None:
    assert best_read_rate(1_000_000) > 1e6


def test_bytes_of_weights_are_the_headers_as_float32() -> None:
    path = shipped_model("stories260k-f32").path
    engine = Engine(read_model(path), "float32")
    assert engine.weight_bytes == llama_shape(read_header(path)).weight_bytes_a_token

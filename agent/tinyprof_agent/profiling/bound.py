"""A run's decode rate as a share of the most that its platform can do with its model. Pure, but for what ships.

There is a share only where the engine's own clock timed it on one core: a platform of the catalogue with a model whose
header is known, or an engine on this machine that says how much it reads and how fast that is at best.
"""

from collections.abc import Callable, Sequence
from typing import cast

from tinyprof_agent.drivers.driver import BoardInfo
from tinyprof_agent.profiling.rounds import Round, decode_tps, summary_of, to_figure
from tinyprof_models.golden import Activations
from tinyprof_platforms.catalogue import CatalogueError, find_platform
from tinyprof_platforms.engine_memory import KV_CACHES, Arithmetic
from tinyprof_platforms.fit import bound
from tinyprof_platforms.llama_shape import LlamaShape
from tinyprof_protocol.records import Build, Figure

ShapeOf = Callable[[str], LlamaShape | None]
"""The shape of a model by its sha256; None where its file is not known."""


def bound_figures(rounds: Sequence[Round], info: BoardInfo, shape_of: ShapeOf) -> dict[str, Figure]:
    """`bound_pct`, the median over rounds with its interval; nothing where there is no bound."""
    summary = summary_of(rounds, lambda one: _share_pct(one, info, shape_of))
    return {} if summary is None else {"bound_pct": to_figure(summary)}


def _share_pct(one: Round, info: BoardInfo, shape_of: ShapeOf) -> float | None:
    measured = decode_tps(one)
    if measured is None or info.build.emulated or info.build.timing != "device":
        return None
    if info.host_clock:
        if not info.weight_bytes or not info.read_bytes_s:
            return None
        at_best = info.read_bytes_s / info.weight_bytes
    else:
        # The time of a token rises with its position, so that of the mean position is no more than the mean time.
        position = sum(o.timings.prompt_tokens + o.timings.output_tokens / 2 for o in one) / len(one)
        found = platform_bound_tps(info.build, shape_of, position)
        if found is None:
            return None
        at_best = found
    return 100 * measured / at_best


def platform_bound_tps(build: Build, shape_of: ShapeOf, position: float) -> float | None:
    """The most tokens a second of a platform with a model, `position` tokens in the cache; None: not known."""
    shape = shape_of(build.model_sha256)
    if shape is None or build.kv_cache not in KV_CACHES or build.activations not in ("float32", "int8"):
        return None
    try:
        _, platform = find_platform(build.platform)
    except CatalogueError:
        return None
    how = Arithmetic(shape.context, build.kv_cache, cast("Activations", build.activations))
    at_best = bound(shape, platform, how, position)
    return None if at_best is None else at_best.tps

"""Golden outputs of models of one's own, from the files that the configuration names, beside those that ship."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from tinyprof_agent.profiling.golden_check import GoldenCases
from tinyprof_models.golden import Activations, GoldenError, KvCache, read_golden, shipped_golden
from tinyprof_protocol.records import Build


class BadGoldenFile(ValueError):
    """A golden file that cannot be used; the message names the key and the file, in one line."""


def cases_of_files(paths: Sequence[str]) -> Callable[[Build], GoldenCases]:
    """Looks up what a board's model must say to each prompt, in these files and in what ships.

    Where two have the same model, arithmetic and prompt, what ships goes before the files, and a file before those that
    follow it. Raises BadGoldenFile.
    """
    try:
        known = [shipped_golden(), *(read_golden(Path(path).expanduser()) for path in paths)]
    except GoldenError as why:
        raise BadGoldenFile(f"golden_files: {' '.join(str(why).split())}"[:300]) from None

    def cases_of(build: Build) -> GoldenCases:
        key = (build.model_sha256, cast("Activations", build.activations), cast("KvCache", build.kv_cache))
        return {case.prompt: case for golden in reversed(known) for case in golden.cases(*key)}

    return cases_of

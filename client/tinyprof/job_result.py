"""A run's result to read from: its metrics by name, its verdict, and where it is from. Pure."""

import difflib
from dataclasses import dataclass

from tinyprof_protocol.jobs import CachedFrom
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Figure, Record, Result


@dataclass(frozen=True, slots=True)
class MetricView:
    """One metric of a run, in the unit of its name. `low` and `high` bound its interval where it has one."""

    name: str
    figure: Figure

    @property
    def median(self) -> float:
        """The median over the repetitions, or the one value that there is."""
        return self.figure.value

    @property
    def low(self) -> float | None:
        """The lower end of the interval; None where there is none."""
        return self.figure.low

    @property
    def high(self) -> float | None:
        """The upper end of the interval; None where there is none."""
        return self.figure.high

    @property
    def n(self) -> int:
        """Of how many repetitions."""
        return self.figure.n

    @property
    def estimated(self) -> bool:
        """Whether it is an estimate and no measurement."""
        return self.figure.estimated

    def __float__(self) -> float:
        return self.figure.value


class JobResult:
    """The result of a job: `result.decode_tps.median`, `result.verdict`, `result.output`.

    Each metric that the run has is an attribute; one that it has not is an AttributeError that names those it has.
    """

    __slots__ = ("cached", "joined", "node", "record", "run")

    def __init__(
        self, record: Record, node: str, cached: CachedFrom | None = None, joined: bytes | None = None
    ) -> None:
        """Raises ValueError for a record that is no result."""
        if not isinstance(record.body, Result):
            raise ValueError("the record is no result")
        self.record = record
        self.run: Result = record.body
        self.node = node
        self.cached = cached
        self.joined = joined

    @property
    def board(self) -> str:
        """The board that made the run."""
        return self.run.board

    @property
    def verdict(self) -> str:
        """`valid`, `unstable` or `invalid`."""
        return self.run.verdict

    @property
    def reasons(self) -> list[str]:
        """Why it is not valid."""
        return list(self.run.reasons)

    @property
    def output(self) -> str:
        """What the model said."""
        return self.run.output

    @property
    def metrics(self) -> dict[str, MetricView]:
        """Every metric that the run has."""
        return {name: MetricView(name, figure) for name, figure in self.run.figures.items()}

    def __getattr__(self, name: str) -> MetricView:
        figures = self.run.figures
        if name in figures:
            return MetricView(name, figures[name])
        near = difflib.get_close_matches(name, figures, 3, 0.5)
        hint = f"nearest: {', '.join(near)}" if near else f"it has {', '.join(sorted(figures)) or 'no figures'}"
        raise AttributeError(f"this run has no {name!r}{'' if name in METRICS else ', which is no metric'}; {hint}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.run.figures]

    def __repr__(self) -> str:
        return f"<JobResult {self.verdict} of {self.node}/{self.board}>"

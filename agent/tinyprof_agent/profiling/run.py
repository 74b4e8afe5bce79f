"""One run on one board: warm-up, gate, clock, timed repetitions, clock again; from all of it one `Result`.

The decisions are in the pure modules beside this one; here is what happens, in its order.
"""

import threading
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from tinyprof_agent.conditions import HostState, conditions_between
from tinyprof_agent.drivers.driver import (
    BoardError,
    BoardInfo,
    Driver,
    Emulation,
    Generation,
    LoopCheck,
    LoopDriver,
    OnText,
    RoundTrip,
)
from tinyprof_agent.profiling import emulated
from tinyprof_agent.profiling.bound import bound_figures
from tinyprof_agent.profiling.clock_check import ROUND_TRIPS, check_clock, host_clock_report
from tinyprof_agent.profiling.golden_check import (
    Compared,
    compare,
    disagreement,
    gate_fault,
    overall,
)
from tinyprof_agent.profiling.metrics import BadTimes, gaps_withheld, timings, tokens_lost
from tinyprof_agent.profiling.record_size import fit
from tinyprof_agent.profiling.rounds import (
    Observed,
    Round,
    complete_rounds,
    cpu_share,
    figures,
    sizes,
    summary_of,
    tpot_ms,
    ttft_ms,
)
from tinyprof_agent.profiling.run_plan import RunOutcome, RunPlan, Step, Surroundings
from tinyprof_agent.profiling.verdict import Evidence, judge
from tinyprof_platforms.suites import suite_terms
from tinyprof_protocol.records import ClockReport, Figure, Golden, Repetition, Result, Verdict

MAX_SETTLE_GENERATIONS: Final = 10
MAX_SETTLE_S: Final = 5.0
SETTLED_RATIO: Final = 0.02
"""The processor's frequency has settled when two readings in a row differ by no more."""
MAX_GAPS_HELD: Final = 2**18
"""Gaps held while a run lasts (2 MB); any more are counted and not kept."""
MAX_OUTPUT_CHARACTERS: Final = 4096


__all__ = ["RunOutcome", "RunPlan", "Step", "Surroundings", "run"]


def run(
    driver: Driver, info: BoardInfo, plan: RunPlan, surroundings: Surroundings, cancelled: threading.Event
) -> RunOutcome:
    """Runs a suite on an opened board. A board that fails gives an invalid result that says why.

    Raises Cancelled once `cancelled` is set and the board has stopped; then there is no result.
    """
    terms = suite_terms(plan.suite)
    if info.emulation is None:
        under_way = _Run(driver, info, plan, surroundings, cancelled, terms)
    else:
        plan = replace(plan, suite=emulated.suite_for_counts(plan.suite))
        under_way = _EmulatedRun(driver, info, plan, surroundings, cancelled, terms)
    failure = None
    try:
        under_way.go()
    except BoardError as why:
        failure = why
        under_way.faults.append(f"{why.code}: {why}")
    return RunOutcome(under_way.result(), failure)


@dataclass(slots=True)
class _Run:
    driver: Driver
    info: BoardInfo
    plan: RunPlan
    around: Surroundings
    cancelled: threading.Event
    suite_terms: str
    """Of the suite as it was asked for, which an emulated board does not run to the letter."""
    observed: list[Observed] = field(default_factory=list)
    compared: list[Compared] = field(default_factory=list)
    gate: dict[str, Golden] = field(default_factory=dict)
    trips_before: list[RoundTrip] = field(default_factory=list)
    trips_after: list[RoundTrip] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    missing_tokens: int = 0
    warm_up_s: float = 0.0
    before: HostState = field(default_factory=HostState)
    after: HostState = field(default_factory=HostState)

    def go(self) -> None:
        begin_ns = self.around.clock_ns()
        if self.plan.suite.warm_up:
            self._warm_up(begin_ns)
        self._pass_gate()
        self.warm_up_s = self._since_s(begin_ns)
        if self.faults:
            return
        self.before = self.after = self._read_host()
        self._take_round_trips(self.trips_before)
        self._time_repetitions()
        self._take_round_trips(self.trips_after)
        self.after = self._read_host()

    def _warm_up(self, begin_ns: int) -> None:
        """Once; where the processor's frequency can be read, until it settles, within bounds."""
        clock_hz = self._read_host().cpu_clock_hz
        for _ in range(MAX_SETTLE_GENERATIONS):
            self._generate_telling(Step("warm-up"), self.plan.suite.prompts[0])
            last_hz, clock_hz = clock_hz, self._read_host().cpu_clock_hz
            if clock_hz is None or last_hz is None or abs(clock_hz - last_hz) <= SETTLED_RATIO * last_hz:
                return
            if self._since_s(begin_ns) > MAX_SETTLE_S:
                return

    def _pass_gate(self) -> None:
        for prompt in self.plan.suite.gate:
            case = self.around.cases.get(prompt)
            if case is None:
                continue
            generation = self._generate_telling(Step("gate"), prompt)
            self._count_lost(generation)
            self.gate[prompt] = compare(generation.tokens, case, ended=generation.stopped == "eos").golden
        fault = gate_fault(self.gate)
        if fault is not None:
            self.faults.append(fault)
        elif self.missing_tokens:
            self.faults.append("tokens went missing before anything was timed")

    def _time_repetitions(self) -> None:
        suite, begin_ns = self.plan.suite, self.around.clock_ns()
        prompts, longest_s, timed_ns = len(suite.prompts), 0.0, 0
        while not self.faults and not self.missing_tokens:
            rounds, within = divmod(len(self.observed), prompts)
            enough = rounds >= suite.min_repetitions and timed_ns >= suite.min_timed_s * 1e9
            elapsed_s = self._since_s(begin_ns)
            if (enough and not within) or (self.observed and elapsed_s + longest_s > suite.max_timed_s):
                return
            self.around.on_step(Step("timed", rounds + 1, suite.min_repetitions, self._last_text()))
            timed_ns += self._repeat(within)
            longest_s = max(longest_s, self._since_s(begin_ns) - elapsed_s)

    def _repeat(self, prompt: int) -> int:
        """One timed repetition; returns its time from t0 to the last token."""
        generation = self._generate(self.plan.suite.prompts[prompt])
        self._count_lost(generation)
        try:
            times = timings(generation)
        except BadTimes as why:
            self.faults.append(str(why))
            return 0
        case = self.around.cases.get(self.plan.suite.prompts[prompt])
        self.observed.append(Observed(prompt, generation, times))
        self.compared.append(compare(generation.tokens, case, ended=generation.stopped == "eos"))
        return times.ttft_ns + times.decode_ns

    def _generate_telling(self, step: Step, prompt: str) -> Generation:
        """A generation that is not timed: what it says is told as it comes, where its driver hears it then."""
        said = bytearray()

        def on_text(text: bytes) -> None:
            said.extend(text)
            self.around.on_step(replace(step, text=_text(bytes(said))))

        self.around.on_step(step)
        return self._generate(prompt, on_text)

    def _generate(self, prompt: str, on_text: OnText | None = None) -> Generation:
        suite = self.plan.suite
        with self.around.turn():
            return self.driver.generate(
                prompt, suite.max_tokens, timeout_s=suite.max_timed_s, cancelled=self.cancelled, on_text=on_text
            )

    def _count_lost(self, generation: Generation) -> None:
        self.missing_tokens += tokens_lost(generation, self.plan.suite.max_tokens, self.info.build.ctx)

    def _take_round_trips(self, trips: list[RoundTrip]) -> None:
        if self.info.host_clock:
            return
        self.around.on_step(Step("clock"))
        trips.extend(self.driver.round_trip() for _ in range(ROUND_TRIPS))

    def _read_host(self) -> HostState:
        return self.around.read_host() if self.around.read_host else HostState()

    def _since_s(self, begin_ns: int) -> float:
        return (self.around.clock_ns() - begin_ns) / 1e9

    def _last_text(self) -> str:
        return _text(self.observed[-1].generation.text) if self.observed else ""

    def result(self) -> Result:
        suite, clock, golden = self.plan.suite, self._clock_report(), self._golden()
        rounds = complete_rounds(self.observed, len(suite.prompts))
        gaps_ns = [gap for one in self.observed for gap in one.timings.gaps_ns]
        kept_ns = self._gaps_to_keep(gaps_ns)
        evidence = Evidence(
            clock=clock,
            golden=golden,
            repetitions=len(rounds),
            ttft=summary_of(rounds, ttft_ms),
            tpot=summary_of(rounds, tpot_ms),
            missing_tokens=self.missing_tokens,
            cpu_share=self._share_of_cpu(rounds),
            faults=[*self.faults, *self._disagreement()],
        )
        verdict, reasons = self._judged(evidence)
        return fit(
            Result(
                run_id=self.plan.run_id,
                board=self.plan.board,
                build=self.info.build,
                suite=self.plan.suite_name,
                prompts=list(suite.prompts),
                max_tokens=suite.max_tokens,
                verdict=verdict,
                reasons=reasons,
                golden=golden,
                clock=clock,
                figures=self._figures(rounds, kept_ns, evidence),
                repetitions=[self._repetition(*pair) for pair in zip(self.observed, self.compared, strict=True)],
                conditions=conditions_between(self.before, self.after),
                timed_s=self._timed_s(),
                warm_up_s=self.warm_up_s,
                min_repetitions=suite.min_repetitions,
                min_timed_s=suite.min_timed_s,
                itl_us=[round(gap / 1e3) for gap in kept_ns],
                itl_dropped=len(gaps_ns) - len(kept_ns),
                output=self._output(),
                job_id=self.plan.job_id,
                attempt=self.plan.attempt,
                ram_is_rss=self.info.ram_is_rss,
                suite_terms=self.suite_terms,
            )
        )

    def _judged(self, evidence: Evidence) -> tuple[Verdict, list[str]]:
        return judge(evidence)

    def _figures(self, rounds: list[Round], gaps_ns: list[int], evidence: Evidence) -> dict[str, Figure]:
        found = figures(rounds, gaps_ns, evidence.clock, self.info.flash_bytes, evidence.cpu_share)
        return found | bound_figures(rounds, self.info, self.around.shape_of)

    def _gaps_to_keep(self, gaps_ns: list[int]) -> list[int]:
        return [] if gaps_withheld(gaps_ns, self.info.tick_hz) else gaps_ns[:MAX_GAPS_HELD]

    def _share_of_cpu(self, rounds: list[Round]) -> float | None:
        # A board's own CPU time, on its own clock, says nothing of this machine.
        return cpu_share(rounds) if self.info.host_clock else None

    def _timed_s(self) -> float:
        return sum(one.timings.e2e_ms for one in self.observed) / 1e3

    def _clock_report(self) -> ClockReport:
        if self.info.host_clock:
            return host_clock_report(self.info.tick_hz)
        return check_clock(self.trips_before, self.trips_after, self.info.tick_hz)

    def _golden(self) -> Golden:
        return overall([*self.gate.values(), *(one.golden for one in self.compared)])

    def _disagreement(self) -> list[str]:
        known = [prompt in self.around.cases for prompt in self.plan.suite.prompts]
        line = disagreement([(one.prompt, one.generation.tokens) for one in self.observed], known)
        return [] if line is None else [line]

    def _output(self) -> str:
        return _text(self.observed[0].generation.text) if self.observed else ""

    def _repetition(self, one: Observed, compared: Compared) -> Repetition:
        return Repetition(
            prompt=one.prompt,
            ttft_ms=one.timings.ttft_ms,
            tpot_ms=one.timings.tpot_ms,
            prompt_tokens=one.timings.prompt_tokens,
            output_tokens=one.timings.output_tokens,
            golden=compared.golden,
            golden_tokens=compared.equal_tokens,
        )


@dataclass(slots=True)
class _EmulatedRun(_Run):
    """A run on a virtual clock: a known loop checks it, counts take the place of times, and no gap is kept."""

    loop: LoopCheck | None = None

    @property
    def emulation(self) -> Emulation:
        assert self.info.emulation is not None
        return self.info.emulation

    def _take_round_trips(self, trips: list[RoundTrip]) -> None:  # noqa: ARG002
        """The known loop in their place, once, before the repetitions."""
        if self.emulation.counts == "nothing" or self.loop is not None:
            return
        assert isinstance(self.driver, LoopDriver)
        self.around.on_step(Step("clock"))
        with self.around.turn():
            self.loop = self.driver.known_loop(emulated.LOOP_INSTRUCTIONS)

    def _clock_report(self) -> ClockReport:
        return emulated.loop_report(self.loop, self.emulation, self.info.tick_hz)

    def _judged(self, evidence: Evidence) -> tuple[Verdict, list[str]]:
        counts = [emulated.counted(one, self.emulation) for one in self.observed]
        return emulated.judge_emulated(evidence, [one for one in counts if one is not None])

    def _figures(self, rounds: list[Round], _gaps_ns: list[int], _evidence: Evidence) -> dict[str, Figure]:
        observed = [one for each in rounds for one in each]
        return emulated.count_figures(rounds, self.emulation) | sizes(observed, self.info.flash_bytes)

    def _gaps_to_keep(self, _gaps_ns: list[int]) -> list[int]:
        return []

    def _timed_s(self) -> float:
        return 0.0

    def _repetition(self, one: Observed, compared: Compared) -> Repetition:
        counts = emulated.counted(one, self.emulation)
        return msgspec.structs.replace(
            super(_EmulatedRun, self)._repetition(one, compared),  # slots: no bare super
            ttft_ms=None,
            tpot_ms=None,
            first_count=None if counts is None else counts.first,
            decode_count=None if counts is None else counts.decode,
        )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")[:MAX_OUTPUT_CHARACTERS]

"""One run on a board, from the first piece of its prompt to the last of its tokens."""

from dataclasses import dataclass
from typing import Literal

from tinyprof_agent.drivers.driver import BoardError, Generation, LinkCounters, OnText
from tinyprof_agent.drivers.probe.collected import Collected, ids_crc
from tinyprof_agent.drivers.probe.exchange import MS, Patience, fault_error
from tinyprof_agent.drivers.probe.messages import (
    ENDED_ABORTED,
    ENDED_EOS,
    IDLE,
    RUN_OVERHEAD,
    RUNNING,
    Abort,
    AskStats,
    BoardMessage,
    End,
    Fault,
    Hello,
    HostMessage,
    Resend,
    Run,
    Start,
    Stats,
    Tokens,
)
from tinyprof_agent.drivers.probe.tick_clock import TickClock, unwrap_run
from tinyprof_protocol.counts_text import some

MAX_QUIET_NS = 30_000 * MS
"""The pause between two questions in a silent run doubles up to this."""
MAX_STAMPS = 65536

Phase = Literal["sending", "running", "repairing", "stopping"]


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is asked of the board, and what is known of it: its boot id and the longest body it takes."""

    run: int
    prompt: bytes
    max_tokens: int
    streamed: bool
    boot: int
    rx_max: int
    limit_ns: int
    stop_ns: int


def pieces_of(prompt: bytes, rx_max: int) -> list[bytes]:
    """A prompt cut so that each `run` message fits into a body of `rx_max` bytes; at least one piece."""
    size = max(1, rx_max - RUN_OVERHEAD)
    return [prompt[at : at + size] for at in range(0, len(prompt), size)] or [b""]


class Running:
    """The exchange of one run. When it is `done`, either `stopped_early` or `generation()` has what came of it.

    Raises BoardError: silent (no answer to the prompt, no end), reset, fault, refused, timeout.
    """

    def __init__(
        self,
        request: RunRequest,
        clock: TickClock,
        patience: Patience,
        counters: LinkCounters,
        on_text: OnText | None = None,
    ) -> None:
        self._request = request
        self._clock = clock
        self._patience = patience
        self._counters = counters
        self._on_text = on_text
        self._pieces = pieces_of(request.prompt, request.rx_max)
        self._piece = 0
        self._tries = 0
        self._quiet_ns = patience.quiet_ns
        self._deadline_ns = 0
        self._phase: Phase = "sending"
        self._collected = Collected(request.max_tokens)
        self._stamps: list[tuple[int, int]] = []
        self._expected_t0: int | None = None
        self._end: End | None = None
        self._ended_ns = 0
        self._least_missing = request.max_tokens + 1
        self.run = request.run
        self.stopped_early = False
        self.done = False
        self.wake_ns = 0

    def begin(self, now_ns: int) -> list[HostMessage]:
        """The prompt's first piece."""
        self._deadline_ns = now_ns + self._request.limit_ns
        return self._send_piece(now_ns)

    def stop(self, now_ns: int) -> list[HostMessage]:
        """Asks the board to stop; the exchange is done when it has, or raises `timeout`."""
        if self._phase != "stopping":
            self._phase = "stopping"
            self._deadline_ns = now_ns + self._request.stop_ns
        self._wake_in(self._patience.answer_ns, now_ns)
        return [Abort(self._request.run)]

    def on_message(self, message: BoardMessage, now_ns: int) -> list[HostMessage]:
        """Takes what the board says; what belongs to other runs is dropped and counted."""
        run = self._request.run
        match message:
            case Hello() if message.nonce == 0 or message.boot != self._request.boot:
                raise BoardError("reset", "the board started anew in the middle of a run")
            case Start() | Tokens() | End() if message.run != run:
                self._counters.add("strangers")
            case Fault() if message.run not in (0, run):
                self._counters.add("strangers")
            case Fault():
                return self._on_fault(message)
            case Start():
                return self._on_start(message, now_ns)
            case Stats():
                return self._on_stats(message, now_ns)
            case Tokens():
                self._on_tokens(message, now_ns)
            case End():
                return self._on_end(message, now_ns)
        return []

    def on_time(self, now_ns: int) -> list[HostMessage]:
        """Repeats what was not answered, asks a silent board how it is, and ends it all when the time is over."""
        if now_ns >= self._deadline_ns:
            raise self._out_of_time()
        if now_ns < self.wake_ns:
            return []
        match self._phase:
            case "sending":
                return self._send_piece(now_ns)
            case "stopping":
                return self.stop(now_ns)
            case "repairing":
                return self._repair(now_ns)
            case "running":
                self._wake_in(self._quiet_ns, now_ns)
                self._quiet_ns = min(2 * self._quiet_ns, MAX_QUIET_NS)
                return [AskStats(self._request.run)]

    def generation(self) -> Generation:
        """What was observed; the run is done and was not stopped early. The clock goes on from its end."""
        end = self._end
        if end is None:
            raise RuntimeError("the run is not done")
        stamps = [*self._collected.raw_stamps(), (end.tokens, end.t_end)]
        t0_ticks = self._clock.near(end.t0, self._expected_t0)
        *ticks, end_ticks = unwrap_run(self._clock, t0_ticks, self._stamps, stamps)
        self._clock.adopt(end_ticks, self._ended_ns)
        tokens = self._collected.ids()
        return Generation(
            t0_ns=self._clock.ns(t0_ticks),
            token_ns=[self._clock.ns(count) for count in ticks],
            tokens=tokens,
            prompt_tokens=end.prompt_tokens,
            text=self._collected.text(),
            stopped="eos" if end.reason == ENDED_EOS else "limit",
            missing_tokens=end.tokens - len(tokens),
            ram_peak_bytes=end.ram_peak,
            heap_peak_bytes=end.heap_peak,
            stack_peak_bytes=end.stack_peak,
        )

    def _wake_in(self, delay_ns: int, now_ns: int) -> None:
        self.wake_ns = min(now_ns + delay_ns, self._deadline_ns)

    def _out_of_time(self) -> BoardError:
        if self._phase == "stopping":
            return BoardError("timeout", f"the board did not stop within {self._request.stop_ns / 1e9:g} s; reset it")
        made = f"{some(len(self._collected.ids()), 'token')} came"
        return BoardError("timeout", f"the run did not end within {self._request.limit_ns / 1e9:g} s; {made}")

    def _forgotten(self) -> BoardError:
        return BoardError("reset", "the board no longer knows of the run: it must have started anew")

    # The prompt

    def _send_piece(self, now_ns: int) -> list[HostMessage]:
        if self._tries >= self._patience.tries:
            which = f"piece {self._piece + 1} of {len(self._pieces)} of the prompt"
            raise BoardError("silent", f"the board did not acknowledge {which}, sent {self._tries} times")
        self._tries += 1
        self._wake_in(self._patience.answer_ns, now_ns)
        request = self._request
        piece = self._pieces[self._piece]
        return [Run(request.run, self._piece, len(self._pieces), request.max_tokens, int(request.streamed), piece)]

    def _on_start(self, start: Start, now_ns: int) -> list[HostMessage]:
        if self._phase != "sending" or start.pieces <= self._piece:
            return []
        ticks = self._clock.at(start.tick, now_ns)
        self._piece, self._tries = min(start.pieces, len(self._pieces)), 0
        if self._piece < len(self._pieces):
            return self._send_piece(now_ns)
        self._run_began(ticks, now_ns)
        return []

    def _run_began(self, expected_t0: int | None, now_ns: int) -> None:
        """The board generates; told by its `start`, or, should that be lost, by what only a run brings."""
        self._phase = "running"
        self._tries = 0
        self._expected_t0 = expected_t0
        self._wake_in(self._quiet_ns, now_ns)

    # Its tokens

    def _on_tokens(self, group: Tokens, now_ns: int) -> None:
        if self._phase == "sending":
            self._run_began(self._clock.expected(now_ns), now_ns)
        if not self._collected.add(group, self._clock.wrap_ticks):
            self._counters.add("repeated_groups")
        elif self._on_text is not None and self._phase != "stopping":
            self._on_text(group.text)
        over = self._phase == "repairing" or not self._request.streamed
        self._wake_in(self._patience.answer_ns if over else self._quiet_ns, now_ns)

    def _on_stats(self, stats: Stats, now_ns: int) -> list[HostMessage]:
        ours = stats.run == self._request.run
        if self._phase == "sending" and ours and stats.state == RUNNING:
            self._run_began(self._clock.expected(now_ns), now_ns)
        if ours and stats.state == RUNNING:
            if len(self._stamps) < MAX_STAMPS:
                self._stamps.append((stats.tokens, stats.tick))
            else:
                self._counters.add("stamps_dropped")
        if self._phase != "running" or stats.nonce != self._request.run:
            return []
        if not ours:
            raise self._forgotten()
        return self._repair(now_ns) if stats.state == IDLE else []

    def _on_fault(self, fault: Fault) -> list[HostMessage]:
        if self._phase != "stopping":
            raise self._forgotten() if fault.code == "no_run" else fault_error(fault)
        self.done = self.stopped_early = True
        return []

    # Its end

    def _on_end(self, end: End, now_ns: int) -> list[HostMessage]:
        if self._phase == "sending":
            self._run_began(self._clock.expected(now_ns), now_ns)
        if self._phase == "stopping":
            self.done = self.stopped_early = True
            return []
        if end.reason == ENDED_ABORTED:
            raise BoardError("fault", "the board stopped the run by itself")
        if end.tokens > self._request.max_tokens:
            raise BoardError(
                "fault", f"the board made {some(end.tokens, 'token')}, {self._request.max_tokens} were asked for"
            )
        if self._end is None:
            self._ended_ns = now_ns
        self._end = end
        missing = sum(len(gap) for gap in self._collected.missing(end.tokens))
        if not missing and ids_crc(self._collected.ids()) != end.ids_crc:
            self._counters.add("bad_ids_crc")
            self._collected.clear()
            missing = end.tokens
        if missing < self._least_missing:
            self._least_missing, self._tries = missing, 0
        self._phase = "repairing"
        if not missing:
            self.done = True
            return []
        return self._repair(now_ns)

    def _repair(self, now_ns: int) -> list[HostMessage]:
        """Asks for the first gap again, or only for the end; what stays lost after all tries is reported as missing."""
        self._phase = "repairing"
        count = self._end.tokens if self._end is not None else 0
        gap = next(iter(self._collected.missing(count)), range(0))
        if self._tries >= self._patience.tries:
            if self._end is None:
                raise BoardError("silent", f"the end of the run was lost, asked again {self._tries} times")
            self.done = True
            return []
        self._tries += 1
        self._counters.add("resends_asked")
        self._wake_in(self._patience.answer_ns, now_ns)
        return [Resend(self._request.run, gap.start, len(gap))]

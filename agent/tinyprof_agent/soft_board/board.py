"""The board's side of the link: what a board does with each message, and how it runs a prompt."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tinyprof_agent.drivers.probe.collected import ids_crc
from tinyprof_agent.drivers.probe.frames import FrameDecoder
from tinyprof_agent.drivers.probe.messages import (
    ENDED_ABORTED,
    ENDED_EOS,
    ENDED_LIMIT,
    IDLE,
    RECEIVING,
    RUNNING,
    SENDING,
    Abort,
    AskHello,
    AskLoop,
    AskStats,
    End,
    Fault,
    HostMessage,
    Resend,
    Run,
    Start,
    Stats,
    decode_host_message,
)
from tinyprof_agent.soft_board.facts import (
    PROTOCOL,
    Counter,
    Facts,
    Generator,
    PromptTooLong,
    peak_bytes,
    start_peak_anew,
)
from tinyprof_agent.soft_board.faults import FaultName, Faults
from tinyprof_agent.soft_board.outgoing import Outgoing, groups
from tinyprof_protocol.counts_text import some

PROMPT_BYTES = 64 * 1024
FAULT_AFTER_TOKENS = 2
"""Faults in the middle of a run happen after this many tokens."""


class FaultHappened(Exception):
    """A fault that was asked for ends whatever the board is doing; its name says which."""

    def __init__(self, name: FaultName) -> None:
        super().__init__(name)
        self.name: FaultName = name


@dataclass(slots=True)
class _Job:
    """The run that the board has, from its first piece until the next run or restart."""

    run: int
    pieces: int
    max_tokens: int
    streamed: bool
    prompt: bytearray = field(default_factory=bytearray)
    got: int = 0
    ids: list[int] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    end: End | None = None


class SoftBoard:
    """One board. `receive` returns what has come, without waiting; `new_boot` draws a boot id."""

    def __init__(
        self,
        facts: Facts,
        generator: Generator,
        counter: Counter,
        outgoing: Outgoing,
        receive: Callable[[], bytes],
        faults: Faults,
        new_boot: Callable[[], int],
    ) -> None:
        self._facts = facts
        self._generator = generator
        self._counter = counter
        self._out = outgoing
        self._receive = receive
        self._faults = faults
        self._new_boot = new_boot
        self._decoder = FrameDecoder(facts.limits.rx_max)
        self._boot = new_boot()
        self._job: _Job | None = None
        self._state = IDLE
        self._stopped = False
        self._unread: list[HostMessage] = []
        self._unknown = 0

    def restart(self) -> None:
        """Forgets everything, as a reset does, and says hello."""
        self._boot = self._new_boot()
        self._job, self._state = None, IDLE
        self._decoder.reset()
        self._unread.clear()
        self._out.send(self._facts.hello(0, self._boot))

    def attend(self) -> None:
        """Deals with all that has come, runs included. Raises FaultHappened, and what `receive` raises."""
        self._unread += self._arrived()
        while self._unread:
            self._on_message(self._unread.pop(0))
            self._unread += self._arrived()

    def _arrived(self) -> list[HostMessage]:
        data = self._receive()
        if not data:
            return []
        messages = [decode_host_message(body) for body in self._decoder.feed(data).bodies]
        self._unknown += messages.count(None)
        return [message for message in messages if message is not None]

    def _on_message(self, message: HostMessage) -> None:
        match message:
            case AskHello():
                self._on_hello(message)
            case AskStats():
                self._send_stats(message.nonce)
            case Run():
                self._on_run(message)
            case Abort():
                self._on_abort(message)
            case Resend():
                self._on_resend(message)
            case AskLoop():
                self._on_loop()

    def _on_hello(self, asked: AskHello) -> None:
        self._job, self._state, self._stopped = None, IDLE, True
        if self._faults.take("wrong-version") or not asked.low <= PROTOCOL <= asked.high:
            self._out.send(Fault(0, "version", f"offered {asked.low} to {asked.high}, this board speaks another"))
            return
        self._out.send(self._facts.hello(asked.nonce, self._boot))

    def _send_stats(self, nonce: int) -> None:
        job = self._job
        tick = self._counter()
        dropped = (self._decoder.bad_crc + self._unknown) & 0xFFFFFFFF
        self._out.send(Stats(nonce, tick, self._state, job.run if job else 0, len(job.ids) if job else 0, dropped))

    def _on_loop(self) -> None:
        if self._state != IDLE:
            self._out.send(Fault(0, "busy", "a run is under way"))
        else:
            self._out.send(Fault(0, "bad_request", "this board has no loop of known instructions"))

    # The prompt

    def _on_run(self, piece: Run) -> None:
        job = self._job
        if job is not None and job.run != piece.run and self._state in (RUNNING, SENDING):
            self._out.send(Fault(piece.run, "busy", "a run is under way"))
            return
        if job is None or job.run != piece.run:
            job = self._new_job(piece)
        if job is None or piece.piece > job.got or piece.piece >= job.pieces:
            return
        if piece.piece == job.got:
            if len(job.prompt) + len(piece.prompt) > PROMPT_BYTES:
                self._refuse(job.run, "too_long", f"a prompt has at most {PROMPT_BYTES} bytes here")
                return
            job.prompt += piece.prompt
            job.got += 1
        # A piece that came before is acknowledged again: the first word of that was lost.
        self._out.send(Start(job.run, job.got, self._counter()))
        if job.got == job.pieces and self._state == RECEIVING:
            self._generate(job)

    def _new_job(self, piece: Run) -> _Job | None:
        most = self._facts.limits.token_max
        if piece.max_tokens > most:
            self._refuse(piece.run, "bad_request", f"a run has at most {some(most, 'token')} here")
            return None
        self._job = _Job(piece.run, piece.pieces, piece.max_tokens, bool(piece.streamed))
        self._state = RECEIVING
        return self._job

    def _refuse(self, run: int, code: str, text: str) -> None:
        self._job, self._state = None, IDLE
        self._out.send(Fault(run, code, text))

    # The run

    def _generate(self, job: _Job) -> None:
        start_peak_anew()
        self._state, self._stopped = RUNNING, False
        t0 = self._counter()
        try:
            prompt_tokens = self._generator.encode(job.prompt.decode(errors="replace"))
        except PromptTooLong as why:
            self._refuse(job.run, "too_long", str(why))
            return
        self._decode(job, prompt_tokens, t0)
        if self._job is not job:
            return
        t_end = self._counter()
        ended_eos = bool(job.ids) and job.ids[-1] == self._generator.eos
        job.end = End(
            run=job.run,
            reason=ENDED_EOS if ended_eos else ENDED_ABORTED if self._stopped else ENDED_LIMIT,
            prompt_tokens=len(prompt_tokens),
            tokens=len(job.ids),
            t0=t0,
            t_end=t_end,
            ram_peak=peak_bytes(),
            heap_peak=None,
            stack_peak=None,
            ids_crc=ids_crc(job.ids),
        )
        self._state = SENDING
        if not job.streamed and not self._stopped:
            self._send_tokens(job, range(len(job.ids)))
        if not self._faults.take("lose-end"):
            self._out.send(job.end)
        self._state = IDLE

    def _decode(self, job: _Job, prompt_tokens: list[int], t0: int) -> None:
        counter, mask = self._counter, self._counter.mask
        quarter, stamped = mask // 4, t0
        for token in self._generator.greedy(prompt_tokens, job.max_tokens):
            now = counter()
            job.stamps.append(now)
            job.ids.append(token)
            if job.streamed:
                self._send_tokens(job, range(len(job.ids) - 1, len(job.ids)))
            if (now - stamped) & mask >= quarter:
                stamped = now
                self._send_stats(0)
            self._between_tokens(job)
            if self._stopped:
                return

    def _between_tokens(self, job: _Job) -> None:
        """Sees to what may not wait for the end of the run; the rest is kept for then."""
        if len(job.ids) == FAULT_AFTER_TOKENS:
            self._fail_if_asked()
        for message in self._arrived():
            if isinstance(message, Resend) or self._stopped:
                self._unread.append(message)
            else:
                self._on_message(message)

    def _fail_if_asked(self) -> None:
        names: tuple[FaultName, ...] = ("reset-mid-run", "hang", "gone")
        for name in names:
            if self._faults.take(name):
                raise FaultHappened(name)

    def _on_abort(self, abort: Abort) -> None:
        job = self._job
        if job is None or job.run != abort.run:
            self._out.send(Fault(abort.run, "no_run", "there is no such run here"))
        elif self._state == RUNNING:
            self._stopped = True
        elif job.end is not None:
            self._out.send(job.end)
        else:
            self._refuse(job.run, "no_run", "the run had not started")

    # After the run

    def _on_resend(self, asked: Resend) -> None:
        job = self._job
        if job is None or job.run != asked.run or job.end is None:
            self._out.send(Fault(asked.run, "no_run", "there is no such run here"))
            return
        stop = min(asked.first + asked.count, len(job.ids))
        self._send_tokens(job, range(min(asked.first, stop), stop))
        self._out.send(job.end)

    def _send_tokens(self, job: _Job, span: range) -> None:
        for group in groups(job.run, job.ids, job.stamps, self._counter.mask, self._generator.text, span):
            self._out.send_group(group)

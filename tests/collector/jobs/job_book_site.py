"""A book of jobs with the agents around it, driven as its keeper drives it."""

from itertools import count

from tinyprof_collector.jobs.actions import Answer, ReplyTo, Send
from tinyprof_collector.jobs.book import JobBook
from tinyprof_collector.presence import Presence
from tinyprof_platforms.suites import offered, shipped_suites
from tinyprof_protocol import topics
from tinyprof_protocol.jobs import Job, ProfileRequest
from tinyprof_protocol.presence import AgentStatus, BoardPresence
from tinyprof_protocol.records import Build, ClockReport, Conditions, Event, Record, Result

S = 10**9
NOW = 1_800_000_000 * S
NODE = "lab.pi"
ID = bytes(range(16))
JOB = Job(ID, NODE, "b1", NOW + 100 * S)
SUITES = [offered("quick", shipped_suites()["quick"])]
_serial = count(1)


def client(number: int = 0) -> ReplyTo:
    return ReplyTo(topics.replies(f"{number:032x}"), b"q%d" % number)


ASK, AGAIN = client(0), client(1)


def new_id() -> bytes:
    return next(_serial).to_bytes(16, "little")


def job(board="b1", node=NODE, **more) -> Job:
    return Job(new_id(), node, board, more.pop("deadline_ns", NOW + 100 * S), **more)


def record(body, at_ns=NOW) -> Record:
    return Record(at_ns, "clock", bytes(16), 1, body)


def event(name, job_id=ID, message="", board="b1", at_ns=NOW) -> Record:
    return record(Event(name, job_id=job_id, message=message, board=board), at_ns)


def result(job_id=ID, board="b1", at_ns=NOW) -> Record:
    build = Build("host", "e", "1", "m", "0" * 64, "Q4_0", "f32", "float32", 256, "device")
    return record(
        Result(ID, board, build, "quick", [], 1, "valid", [], "match", ClockReport("host"), {}, [], Conditions(), 1.0,
               job_id=job_id), at_ns
    )  # fmt: skip


def board(name="b1", state="idle", **more) -> BoardPresence:
    return BoardPresence(name, "probe", state, **more)


class Site:
    """A book with the agents around it; `ask` keeps what is new as the keeper does."""

    def __init__(self, max_jobs: int = 100, boards=("b1",), node=NODE) -> None:
        self.max_jobs = max_jobs
        self.presence = Presence()
        self.book = JobBook(max_jobs, self.presence.agents)
        self.rows = {}
        self.results = {}
        if boards:
            self.hear(*boards, node=node)

    def hear(self, *boards, node=NODE, jobs=(), state="online", now_ns=NOW):
        listed = [board(one) if isinstance(one, str) else one for one in boards]
        status = AgentStatus(node, state, boards=listed, jobs=list(jobs), suites=SUITES)
        self.presence.hear(status, now_ns)
        return self.keep(self.book.status(status, now_ns))

    def keep(self, actions):
        changes = self.book.changes()
        self.rows.update({kept.request.job.id: kept for kept in changes.jobs})
        self.results.update(changes.results)
        for gone in changes.gone:
            self.rows.pop(gone, None)
        for gone in changes.results_gone:
            self.results.pop(gone)
        self.book.kept()
        return actions

    def ask(self, job: Job = JOB, to: ReplyTo = ASK, now_ns: int = NOW, where=None, use_cache=True):
        actions = self.book.ask(ProfileRequest(job, where, use_cache), to, now_ns)
        self.keep([])
        return self.keep([*actions, *self.book.begin(now_ns)])

    def stored(self, *records: Record, node=NODE, now_ns=NOW):
        return self.keep(self.book.stored([(node, one) for one in records], now_ns))

    def tick(self, now_ns):
        return self.keep(self.book.tick(now_ns))

    def restarted(self) -> "Site":
        """The collector after a kill: only what was kept is known, and no agent has spoken."""
        again = Site(self.max_jobs, boards=())
        again.rows, again.results = dict(self.rows), dict(self.results)
        again.book.restore(sorted(self.rows.values(), key=lambda kept: kept.asked_ns))
        return again


def sent(actions) -> list[Job]:
    return [action.job for action in actions if isinstance(action, Send)]


def answers(actions, to: ReplyTo | None = None) -> list:
    return [action.reply for action in actions if isinstance(action, Answer) and to in (None, action.to)]


def states(actions, to: ReplyTo | None = None) -> list[str]:
    return [reply.state for reply in answers(actions, to)]


def ids(actions) -> list[bytes]:
    return [one.id for one in sent(actions)]

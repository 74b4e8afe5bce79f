"""Jobs and caches in whole lines: the sums above the table, and the job under the cursor with its tokens."""

from rich.text import Text

from tinyprof_dashboard import numerals
from tinyprof_dashboard.columns import Moment
from tinyprof_dashboard.jobs.columns import STATES, age_s, stage_text, took_s
from tinyprof_dashboard.jobs.lines import JobLine, OpenCounts, where_text
from tinyprof_dashboard.jobs.tallies import Tallies, rate
from tinyprof_dashboard.palette import ink
from tinyprof_dashboard.pipeline.words import flow, pair, wrapped
from tinyprof_dashboard.snapshot import Snapshot
from tinyprof_protocol.counts_text import noun


def _answered(found: Tallies) -> Text:
    if not found.asked:
        return Text("has not been asked", ink("dim"))
    of = f"of {numerals.some(found.asked, 'request')} answered"
    return pair(rate(found), of, "healthy" if found.hits else "text")


def _open(found: OpenCounts | None) -> list[Text]:
    if found is None:
        return [pair(numerals.NOTHING, word, "faint") for word in ("running", "queued")]
    more = "+" if found.more else ""
    return [
        pair(numerals.count(found.running), "running", "accent"),
        *([pair(numerals.count(found.accepted), "accepted", "accent")] if found.accepted else []),
        pair(f"{numerals.count(found.queued)}{more}", "queued", "text"),
    ]


def tally_lines(still_open: OpenCounts | None, found: Tallies, snapshot: Snapshot, width: int) -> list[Text]:
    """How many jobs the table has that have not ended, what the caches did; what keeps the list from coming."""
    jobs = [Text("jobs ", ink("strong")), *_open(still_open)]
    for name, part in snapshot.jobs.items():
        if part.error:
            jobs.append(Text(f"{name}: {numerals.printable(part.error)}", ink("critical")))
        elif part.reply is not None and part.reply.total > len(part.reply.jobs):
            jobs.append(
                Text(f"{name}: the first {len(part.reply.jobs)} of {numerals.count(part.reply.total)}", ink("warning"))
            )
    cache = [
        Text("cache", ink("strong")),
        _answered(found),
        pair(numerals.count(found.joined), "joined", "text"),
        pair(numerals.count(found.entries), noun(found.entries, "entry"), "text"),
        pair(numerals.count(found.evicted), "evicted", "text"),
        pair(numerals.count(found.expired), "expired", "text"),
    ]
    return [*flow(jobs, width), *flow(cache, width)]


def job_words(line: JobLine | None, moment: Moment, width: int) -> list[Text]:
    """All of a job, and its run's tokens as they come."""
    if line is None:
        return []
    view = line.view
    state, role = STATES[view.state]
    head = Text("/".join(line.place), ink("strong")).append(f"  {state}", ink(role))
    pieces = [
        head,
        pair(view.job.id.hex()[:8], "job", "text"),
        pair(numerals.printable(view.job.suite), "suite", "text"),
    ]
    if view.where is not None:
        pieces.append(Text(where_text(view.where), ink("dim")))
    pieces.append(pair(f"{view.job.priority:+d}" if view.job.priority else "0", "priority", "text"))
    pieces += [pair(numerals.age(age_s(line, moment)), "since asked for", "text")]
    if took_s(line, moment) is not None:
        pieces.append(pair(numerals.age(took_s(line, moment)), "of running", "text"))
    if view.client:
        pieces.append(pair(view.client[:8], "client", "dim"))
    lines = flow(pieces, width)
    told = stage_text(line)
    if told:
        lines += wrapped(Text(told, ink("accent" if line.progress is not None else "text")), width, 1)
    if line.progress is not None and line.progress.progress.text:
        text = " ".join(numerals.printable(line.progress.progress.text).split())
        lines += wrapped(Text(text, ink("text")), width, 3)
    elif view.job.prompts:
        lines += wrapped(Text(f"asks: {numerals.printable(view.job.prompts[0])}", ink("dim")), width, 1)
    return lines

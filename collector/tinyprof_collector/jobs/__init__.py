"""Jobs of clients: kept, joined, sent to a board that is free, followed by records, answered to who asked."""

from tinyprof_collector.jobs.actions import Action, Answer, ReplyTo, Send

__all__ = ["Action", "Answer", "ReplyTo", "Send"]

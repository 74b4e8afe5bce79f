"""What the records' path counts, where it happens."""

from tinyprof_protocol.bounds import MAX_COUNT

MAX_COUNTED_NODES = 10_000


class Counts:
    """Named counters, and how many batches of each node were let fall. Past 10,000 nodes the rest is under ''."""

    def __init__(self) -> None:
        self.by_name: dict[str, int] = {}
        self.deferred: dict[str, int] = {}

    def add(self, name: str, n: int = 1) -> None:
        """Counts `n` more of `name`; a counter stays where it cannot be told any more."""
        self.by_name[name] = min(MAX_COUNT, self.by_name.get(name, 0) + n)

    def defer(self, node: str) -> None:
        """Counts a batch that fell because a bound was reached."""
        if node not in self.deferred and len(self.deferred) >= MAX_COUNTED_NODES:
            node = ""
        self.deferred[node] = self.deferred.get(node, 0) + 1

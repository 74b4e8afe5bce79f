"""What keeps the accounting over a restart. A keeper is one file behind `load` and `keep`."""

from typing import Protocol

from tinyprof_collector.ledger import Changes, LedgerImage


class StateFailed(Exception):
    """The state could not be kept; nothing may be acknowledged. The message says why in a line."""


class State(Protocol):
    """Keeps the accounts. All calls come from the pipeline's thread."""

    def load(self) -> LedgerImage:
        """All that was kept. Raises StateFailed."""

    def keep(self, changes: Changes) -> None:
        """Keeps all changes or none, and returns once they would survive a loss of power. Raises StateFailed."""

    def check(self) -> str | None:
        """What is wrong, in a line; None if nothing is."""

    def close(self) -> None:
        """Lets go of what is held."""

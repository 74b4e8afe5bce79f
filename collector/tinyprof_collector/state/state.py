"""What keeps the accounting over a restart. A keeper is one file behind `load` and `keep`."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from tinyprof_collector.ledger_image import Changes, LedgerImage, Told


class StateFailed(Exception):
    """The state could not be kept; nothing may be acknowledged. The message says why in a line."""


class StateLost(StateFailed):
    """The state went back in time: what was kept is gone, and has to be loaded anew."""


class State(Protocol):
    """Keeps the accounts. All calls come from the pipeline's thread."""

    def load(self) -> LedgerImage:
        """All that was kept. Raises StateFailed."""

    def keep(self, changes: Changes) -> Told | None:
        """Keeps all changes or none, and returns once they would survive a loss of power. Raises StateFailed.

        Returns what others have kept of the same accounts; None where nobody else does.
        """

    def check(self) -> str | None:
        """What is wrong, in a line; None if nothing is."""

    def close(self) -> None:
        """Lets go of what is held."""


@runtime_checkable
class SharedState(State, Protocol):
    """A state that several collectors keep accounts in, each those of its partitions. `keep` unites, never overwrites.

    `claim`, or else `load`, claims the partitions: of several claims on one the newest counts.
    """

    def claim(self) -> None:
        """Claims the partitions, before anything is read, unless that is done. Raises StateFailed."""

    def claims(self) -> Mapping[int, int]:
        """The number of our claim on each partition; 0 where a claim by our name is to count."""

    def look_around(self) -> Told:
        """What other collectors have kept in our partitions since we last looked. Raises StateFailed and StateLost."""

    def taken(self) -> Mapping[int, str]:
        """Partitions that another collector has claimed after us, with its id, as of the last look around."""

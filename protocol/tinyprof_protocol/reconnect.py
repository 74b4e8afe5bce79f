"""When to connect again: delays that double with jitter, and a name that two clients fight over."""

import random
from dataclasses import dataclass, field

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
SHORT_LIFE_S = 5.0
SHORT_LIVES = 3
CLASH_WAIT_S = 60.0


@dataclass(slots=True)
class Reconnect:
    """Decides the wait before the next attempt; fed with what became of each connection. Pure but for its counters."""

    rng: random.Random = field(default_factory=random.Random)
    failures: int = 0
    short_lives: int = 0

    def after_failure(self) -> float:
        """Seconds to wait after an attempt that never connected: no other client's doing."""
        self.failures += 1
        self.short_lives = 0
        return self._backoff()

    def after_loss(self, lived_s: float) -> float:
        """Seconds to wait after a connection that lived `lived_s` seconds."""
        self.failures = 0
        self.short_lives = self.short_lives + 1 if lived_s < SHORT_LIFE_S else 0
        if self.clash:
            return CLASH_WAIT_S
        self.failures = self.short_lives
        return self._backoff()

    def lived_long(self) -> None:
        """Told when a connection has lived for SHORT_LIFE_S: nobody fights over its name."""
        self.short_lives = 0

    @property
    def clash(self) -> bool:
        """Three connections in a row were lost within 5 s: another client probably uses this id."""
        return self.short_lives >= SHORT_LIVES

    def _backoff(self) -> float:
        longest: float = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self.failures, 10))
        return longest * self.rng.uniform(0.5, 1.0)

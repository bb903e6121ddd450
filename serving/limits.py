"""What a service takes on. Imports little, so that the help of `textgenome serve` is quick."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields


SMALL = 65_536  # bytes of a request that always find room: the number of connections bounds how many there are


@dataclass(frozen=True)
class Limits:
    """What a service takes on.

    Args:
        body_bytes: Of a request.
        waiting_bytes: Of all requests together that are read or wait; those of up to `SMALL` bytes do not count.
        bases: Of a sequence, before it is cut to its window.
        sequences: Of a request; a variant is two.
        tokens: Of prompt and answer together. The positions of the language model are a limit of their own.
        queue: Requests that wait.
        connections: Clients connected at once.
        seconds: For a request, the time it waits included.
        batch_size: Requests that are answered together.

    Raises:
        ValueError: If one is not a finite number above 0, or if no room is left for a request of `body_bytes`.
    """

    body_bytes: int = 4_000_000
    waiting_bytes: int = 16_000_000
    bases: int = 1_000_000
    sequences: int = 16
    tokens: int = 8192
    queue: int = 128
    connections: int = 256
    seconds: float = 120
    batch_size: int = 32

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < math.inf:
                raise ValueError(f"The limit of {field.name} must be a finite number above 0, got {value}.")
        if self.waiting_bytes < self.body_bytes:
            raise ValueError(
                f"All requests together may hold {self.waiting_bytes} bytes, less than one of {self.body_bytes}: "
                "raise waiting_bytes or lower body_bytes."
            )


class QueueFull(Exception):
    """Too much waits. `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int):
        super().__init__(message)
        self.retry_after = retry_after


class Budget:
    """The bytes that all requests hold together while they are read or wait.

    Attributes:
        held: How many are taken now.
    """

    def __init__(self, size: int):
        self.size, self.held = size, 0

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """A share of one request, which is given back at the end of the block."""
        share = Share(self)
        try:
            yield share
        finally:
            share.resize(0)


class Share:
    """What one request holds of a budget."""

    def __init__(self, budget: Budget):
        self._budget, self._held = budget, 0

    def resize(self, size: int) -> None:
        """Hold so many bytes from now on.

        Raises:
            QueueFull: If the budget has less room.
        """
        held = size if size > SMALL else 0
        after = self._budget.held - self._held + held
        if held > self._held and after > self._budget.size:
            raise QueueFull("The requests that are read or wait hold all the memory there is for them.", retry_after=1)
        self._budget.held, self._held = after, held


__all__ = ["Budget", "Limits", "QueueFull", "Share"]

"""What a service takes on. Imports little, so that the help of `textgenome serve` is quick."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a service takes on.

    Args:
        body_bytes: Of a request.
        bases: Of a sequence, before it is cut to its window.
        sequences: Of a request; a variant is two.
        tokens: Of prompt and answer together. The positions of the language model are a limit of their own.
        queue: Requests that wait.
        seconds: For a request, the time it waits included.
        batch_size: Requests that are answered together.
    """

    body_bytes: int = 4_000_000
    bases: int = 1_000_000
    sequences: int = 16
    tokens: int = 8192
    queue: int = 128
    seconds: float = 120
    batch_size: int = 32


__all__ = ["Limits"]

"""How many rounds there are, and of how many processes, where their number is not asked for."""

from .results import Settings

MANY, FEW = 60, 15
"""Rounds: many short ones tell engines apart best (``benchmarks/honesty.py``), few where one call takes
longer than such a round."""

PROCESSES = 5
"""Of each engine, one after the other, unless each has calls that long.

Where its code and arrays lie is another matter in each process, and worth some per cent.
"""

LEAST_EACH, LEAST_PROCESSES = 3, 3
"""Of rounds a process, and of processes more than one.

The median of two rounds is their mean, and what two processes tell apart is nothing: Student's t of one
degree of freedom is 64.
"""


def processes_for(rounds: int) -> int:
    """How many processes share the rounds of short calls."""
    most = rounds // LEAST_EACH
    return min(PROCESSES, most) if most >= LEAST_PROCESSES else 1


def is_short(seconds: float, settings: Settings) -> bool:
    """Whether a call takes less than a round of `MANY`, or of more if they were asked for."""
    return seconds < settings.min_time / max(settings.rounds or MANY, MANY)

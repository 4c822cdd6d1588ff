"""How many calls make a round: found by trying, and found anew where a round was far off."""

from collections.abc import Callable
from math import ceil

MOST_CALLS = 10**7
LEAST_SECONDS = 1e-9
"""What a clock that stands still is taken to have told."""

SURELY_LONG = 1.0
"""Seconds of a call from which it is long by itself: what disturbs a shorter one may take longer than it."""

SEVERAL = 8
"""Calls by which one that seems to be long is tried again."""

LONG_ENOUGH = 0.25
"""Share of a round from which a trial is long enough to tell how many calls a round takes."""

FAR_OFF = 8.0
"""Times as short, or as long, as a round was to be, from which on the next has other calls."""

Timed = Callable[[int], float]
"""Seconds of so many calls in a row."""


def call_seconds(timed: Timed, round_seconds: float) -> float:
    """What one call takes, by ever more of them until they are long enough.

    What takes long is tried twice, and the shorter counts: a trial may be disturbed, and then a round
    would have fewer calls.
    """
    calls = 1
    while True:
        seconds = max(timed(calls), LEAST_SECONDS)
        if calls == 1 and round_seconds <= seconds < SURELY_LONG:
            several = SEVERAL if seconds < SURELY_LONG / SEVERAL else 1
            seconds = min(seconds, max(timed(several), LEAST_SECONDS) / several)
        if calls == 1 and seconds >= round_seconds:
            return seconds
        if seconds >= LONG_ENOUGH * round_seconds or calls >= MOST_CALLS:
            return max(min(seconds, timed(calls)), LEAST_SECONDS) / calls
        calls = min(ceil(calls * round_seconds / seconds), 10 * calls, MOST_CALLS)


def calls_of(seconds: float, round_seconds: float) -> int:
    """Calls of a round, of which each takes so long."""
    return min(max(1, ceil(round_seconds / seconds)), MOST_CALLS)


def calls_next(calls: int, seconds: float, round_seconds: float) -> int:
    """Calls of the next round: as many, unless this one was far shorter or longer than it was to be.

    So it is where what a call takes was found on a machine that did something else, or changes.
    """
    if calls < MOST_CALLS and seconds < round_seconds / FAR_OFF:
        return min(calls_of(max(seconds, LEAST_SECONDS) / calls, round_seconds), 10 * calls)
    if calls > 1 and seconds > FAR_OFF * round_seconds:
        return calls_of(seconds / calls, round_seconds)
    return calls

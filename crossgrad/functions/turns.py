"""Loops of Python: errors that an operation makes again in each turn.

What a loop adds up, or draws near to, changes little from turn to turn, and so do its errors. They do
not cancel, they grow with the number of turns, and not with its root alone. So an
operation at the same place of the code as one before (``sites.py``), with a result about as
large, has half of its error, in variance, in common with it, as in JAX's loops (`TracedRounding`).
"""

import math
from collections.abc import Callable, Hashable

import numpy as np

from ..networks.dtypes import Array

NEAR = 1 / 8
"""By how much of itself a number may change from one turn to the next, and err the same way."""

MOSTLY = 1 / 2
"""Of a result, what must be near an earlier one's for both to be of one loop."""

ALIKE = 4
"""Operations of one place that are told apart: a derivative has several of them."""

REMEMBERED = 1 << 23
"""Numbers of earlier turns that are kept: 64 MiB."""


class Turns:
    """What an operation of a loop is remembered by.

    Parameters
    ----------
    lasting
        What its errors have in common from turn to turn, between -1 and 1.
    sizes
        The magnitudes of its last result.
    """

    def __init__(self, lasting: float, sizes: Array) -> None:
        self._lasting, self._sizes = lasting, sizes

    @property
    def count(self) -> int:
        """Numbers that are kept."""
        return self._sizes.size

    def share(self, rows: Array) -> float:
        """Of a result, as much as is nearly as large as the last one."""
        if rows.shape != self._sizes.shape:
            return 0.0
        return np.count_nonzero(_near(np.abs(rows), self._sizes)) / rows.size

    def keep(self, draw: Array, rows: Array, block: slice) -> None:
        """Let half of the draws' variance be what lasts, where rows are near the last ones."""
        now, last = np.abs(rows), self._sizes[block]
        # Rounding, and most functions, treat a number and its negative alike.
        both = (draw + self._lasting * np.sign(rows)) * math.sqrt(1 / 2)
        np.copyto(draw, both, where=_near(now, last))
        last[...] = now


class Loops:
    """The operations that may be those of loops, by their places."""

    def __init__(self) -> None:
        self._known: dict[Hashable, list[Turns]] = {}
        self._room = REMEMBERED

    def turns(self, site: Hashable, rows: Array, lasting: Callable[[], float]) -> Turns | None:
        """The turns that a result is one of; None, and it is remembered, if it is the first.

        Parameters
        ----------
        lasting
            Draws what `Turns` takes.
        """
        known = self._known.setdefault(site, [])
        shares = [turns.share(rows) for turns in known]
        if shares and max(shares) >= MOSTLY:
            turns = known.pop(shares.index(max(shares)))
            known.append(turns)
            return turns
        if len(known) == ALIKE:
            self._room += known.pop(0).count  # the one that was met the longest time ago
        if rows.size <= self._room:
            self._room -= rows.size
            known.append(Turns(lasting(), np.abs(rows)))
        return None


def _near(now: Array, last: Array) -> Array:
    near: Array = np.abs(now - last) <= NEAR * last
    return near

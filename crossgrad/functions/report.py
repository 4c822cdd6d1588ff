"""What comparing functions found: frozen records, as text and as plain data."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..escape import terminal
from ..report import GradientsDisagree, plain_number
from ..verdict import NONFINITE_AGREE, SEVERITY, UNDECIDABLE, WRONG
from ..words import element, listed
from .dispute import FunctionBlame
from .judging import LeafComparison

SCHEMA = "crossgrad.functions/1"
MOST_LINES = 8

UNDECIDED = {
    UNDECIDABLE: "what is undecidable shows nothing: give a wider dtype, or allow_undecidable=True",
    NONFINITE_AGREE: (
        "NaN and infinities show nothing, as any function may have them: give other arguments, or "
        "allow_nonfinite=True if they are meant to be"
    ),
}
"""Verdicts that say nothing against a function, nor for it; and the ways out."""


@dataclass(frozen=True)
class FunctionReport:
    """The outcome of a comparison of functions; `verdict` is the worst of its comparisons'.

    Parameters
    ----------
    functions
        Names, in the order given.
    dtype
        The format under test.
    repeats, seed
        Of the reruns with random roundings that the noise was measured by.
    """

    functions: tuple[str, ...]
    dtype: str
    comparisons: tuple[LeafComparison, ...]
    blames: tuple[FunctionBlame, ...]
    remarks: tuple[str, ...]
    notes: tuple[str, ...]
    repeats: int
    seed: int

    @cached_property
    def verdict(self) -> str:
        return max((c.verdict for c in self.comparisons), key=SEVERITY.index)

    @property
    def ok(self) -> bool:
        """Whether nothing disagrees.

        What decides nothing is ok too, `undecidable` and `nonfinite-agree`: see `raise_if_disagree`.
        """
        return self.verdict not in WRONG

    def raise_if_disagree(self, *, allow_undecidable: bool = False, allow_nonfinite: bool = False) -> None:
        """Raise `GradientsDisagree`, an AssertionError, unless all agrees.

        Parameters
        ----------
        allow_undecidable
            Take quantities that noise could have drowned for right.
        allow_nonfinite
            Take NaN and infinities for right where all functions have them.
        """
        found = {comparison.verdict for comparison in self.comparisons}
        refused = found & {*WRONG, *UNDECIDED}
        refused -= {UNDECIDABLE} if allow_undecidable else set()
        refused -= {NONFINITE_AGREE} if allow_nonfinite else set()
        if refused:
            ways = [text for verdict, text in UNDECIDED.items() if refused == {verdict}]
            raise GradientsDisagree("\n".join([str(self), *ways]))

    def __repr__(self) -> str:
        """Who is wrong, and the worst of what is not in order: at a prompt and in a notebook too."""
        return "\n".join(terminal(line) for line in self._lines())

    def _lines(self) -> list[str]:
        compared = f"{len(self.comparisons)} comparisons in {self.dtype}"
        lines = [f"verdict: {self.verdict} ({', '.join(self.functions)}; {compared})"]
        lines += [_blame_line(blame) for blame in self.blames]
        lines += [*self.remarks]
        told = self._told()
        lines += [_comparison_line(c) for c in told[:MOST_LINES]]
        if len(told) > MOST_LINES:
            lines.append(f"and {len(told) - MOST_LINES} more")
        return lines + [f"note: {note}" for note in self.notes]

    def _told(self) -> list[LeafComparison]:
        """What is not in order, the worst first; of the comparisons of one quantity, one.

        That of a function that is to blame, if one is, against one that is not.
        """
        wrong = {blame.function for blame in self.blames}
        order = sorted(
            (c for c in self.comparisons if c.is_wrong or c.verdict in UNDECIDED),
            key=lambda c: (c.function not in wrong, c.against in wrong, self.functions.index(c.function)),
        )
        first = {c.quantity: c for c in reversed(order)}
        return sorted(first.values(), key=_severity, reverse=True)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "functions": list(self.functions),
            "dtype": self.dtype,
            "repeats": self.repeats,
            "seed": self.seed,
            "blames": [asdict(blame) for blame in self.blames],
            "remarks": list(self.remarks),
            "notes": list(self.notes),
            "comparisons": [_comparison_dict(c) for c in self.comparisons],
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)


def _severity(found: LeafComparison) -> tuple[bool, float]:
    """What is wrong before what decides nothing; NaN and infinities, which have no share, before all else."""
    share = found.judgement.over_floor
    return found.is_wrong, np.inf if share is None else share


def _blame_line(blame: FunctionBlame) -> str:
    looks = f"; it {blame.looks_like.text}" if blame.looks_like else ""
    return f"{blame.function} is wrong in {listed(blame.quantities)}: {blame.evidence}{looks}"


def _comparison_line(found: LeafComparison) -> str:
    judgement = found.judgement
    told = [found.verdict]
    if judgement.over_floor is not None:
        told.append(f"{judgement.over_floor:.3g} times the rounding noise allowed")
    parts = [", ".join(told), *([judgement.reason] if judgement.reason else [])]
    if judgement.got is not None:
        place = f"at {element(judgement.index)} " if judgement.index else ""
        parts.append(f"{place}got {judgement.got!r}, expected {judgement.expected!r}")
    return f"{found.quantity}: {found.function} against {found.against}: {'; '.join(parts)}"


def _comparison_dict(found: LeafComparison) -> dict[str, Any]:
    judgement: Mapping[str, Any] = asdict(found.judgement)
    numbers = {k: plain_number(v) if isinstance(v, float) else v for k, v in judgement.items()}
    place = None if found.judgement.index is None else list(found.judgement.index)
    return (
        {"quantity": found.quantity, "function": found.function, "against": found.against}
        | numbers
        | {"index": place}
    )

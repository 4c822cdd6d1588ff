"""What was done to a gradient that is right otherwise: decayed, clipped, normalised, swapped, stepped with.

Each is a formula of the other's gradient g and the parameters p that h, the wrong one, fulfils in all its
elements, with one or two numbers that are free.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..networks.dtypes import Array
from ..words import listed
from .factors import written

CLOSE = 1e-3
"""Relative distance up to which something is what it looks like."""

FEWEST = 4
"""Elements: of fewer, numbers that are free fit anything."""

Leaves = Mapping[str, Array]


@dataclass(frozen=True)
class Both:
    """The leaves in which two gradients differ.

    Parameters
    ----------
    wrong, right, parameters
        By name, in float64.
    everything
        The other's gradient at all leaves that both have.
    """

    wrong: Leaves
    right: Leaves
    parameters: Leaves
    everything: Leaves

    def joined(self, leaves: Leaves) -> Array:
        return np.concatenate([np.ravel(leaves[name]) for name in self.wrong])


def mistake(both: Both) -> tuple[str, str] | None:
    """A key and words for what was done; None if it is nothing that is known here."""
    if sum(part.size for part in both.wrong.values()) < FEWEST:
        return None
    return next((found for look in LOOKS if (found := look(both))), None)


def _decayed(both: Both) -> tuple[str, str] | None:
    """h = g + c p, or c times the signs of p: the derivative of a penalty on one side alone."""
    p, off = both.joined(both.parameters), both.joined(both.wrong) - both.joined(both.right)
    if np.ptp(np.abs(p)) <= CLOSE * np.abs(p).max():
        return None
    for along, what in (
        (p, "the parameters: weight decay"),
        (np.sign(p), "the parameters' signs: an L1 penalty"),
    ):
        if (factor := _multiple(off, along)) is not None:
            plus = "plus" if factor > 0 else "minus"
            return "decay", f"is the other {plus} {abs(factor):.6g} times {what} on one side alone?"
    return None


def _stepped(both: Both) -> tuple[str, str] | None:
    """h = p - c g: what a step of gradient descent leaves."""
    p = both.joined(both.parameters)
    factor = _multiple(p - both.joined(both.wrong), both.joined(both.right))
    if factor is None or not factor > 0:
        return None
    return "stepped", f"is the parameters after a step of {factor:.6g} times the other, and no gradient"


def _swapped(both: Both) -> tuple[str, str] | None:
    """h of one leaf is g of another."""
    for name, part in both.wrong.items():
        for other, theirs in both.everything.items():
            if other != name and theirs.shape == part.shape and theirs.size > 1 and _is_close(part, theirs):
                return "swapped", f"has at {name} the gradient of {other}"
    return None


def _one_size(both: Both) -> tuple[str, str] | None:
    """h = c sign(g)."""
    wrong, right = both.joined(both.wrong), both.joined(both.right)
    size = float(np.abs(wrong).max())
    if not size or _multiple(wrong, np.sign(right)) is None or np.ptp(np.abs(right)) <= CLOSE * size:
        return None
    return "signs", f"has the other's signs, and {size:.6g} everywhere: as signs alone, or Adam's first step"


def _clipped(both: Both) -> tuple[str, str] | None:
    """h = g where that is small, and not larger than what several elements of it are."""
    wrong, right = both.joined(both.wrong), both.joined(both.right)
    most = float(np.abs(wrong).max())
    at_most = np.abs(wrong) >= (1 - CLOSE) * most
    if at_most.all() or at_most.sum() < 2 or not _is_close(wrong, np.clip(right, -most, most)):
        return None
    return "clipped", f"is the other, clipped to {most:.6g}: compare gradients before they are"


def _by_leaf(both: Both) -> tuple[str, str] | None:
    """h = c g in each leaf, with another c in each."""
    factors = {name: _multiple(part, both.right[name]) for name, part in both.wrong.items() if part.size > 1}
    known = {
        name: factor for name, factor in factors.items() if factor is not None and both.wrong[name].size > 1
    }
    if len(known) < max(2, len(both.wrong)):
        return None
    lengths = [float(np.linalg.norm(part)) for part in both.wrong.values()]
    if np.ptp(lengths) <= CLOSE * lengths[0]:
        return (
            "clipped",
            f"has a length of {lengths[0]:.6g} in each leaf: clipped or normalised leaf by leaf?",
        )
    told = [f"{written(factor)} in {name}" for name, factor in known.items()]
    return "factors", f"is the other times {listed(told)}"


def normalised(both: Both) -> tuple[str, str] | None:
    """h = g / |g|, of all leaves together."""
    wrong, right = both.joined(both.wrong), both.joined(both.right)
    if wrong.size < FEWEST or len(both.wrong) < len(both.everything) or _multiple(wrong, right) is None:
        return None
    is_one = abs(np.linalg.norm(wrong) - 1) <= CLOSE**2
    return ("normalised", "is the other, normalised: its length is 1") if is_one else None


LOOKS: tuple[Callable[[Both], tuple[str, str] | None], ...] = (
    *(_swapped, _decayed, _stepped, _one_size, _clipped, _by_leaf),
)


def _multiple(got: Array, expected: Array) -> float | None:
    """The factor between two tensors that are not zero, if there is one."""
    size = float(np.vdot(expected, expected))
    factor = float(np.vdot(expected, got)) / size if size else 0.0
    return factor if factor and _is_close(got, factor * expected) else None


def _is_close(got: Array, expected: Array) -> bool:
    return bool(np.linalg.norm(got - expected) <= CLOSE * np.linalg.norm(expected))

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
        The other's gradient at all leaves that both have, but for those that agree as they are zero.
    """

    wrong: Leaves
    right: Leaves
    parameters: Leaves
    everything: Leaves

    def joined(self, leaves: Leaves) -> Array:
        return np.concatenate([np.ravel(leaves[name]) for name in self.wrong])


Found = tuple[str, str] | None
"""A key and words for what was done; None if it was not that."""


def mistake(both: Both) -> Found:
    """What was done to a gradient, if it is known here."""
    if sum(part.size for part in both.wrong.values()) < FEWEST:
        return None
    return next((found for look in LOOKS if (found := look(both))), None)


def _swapped(both: Both) -> Found:
    """h of one leaf is g of another."""
    for name, part in both.wrong.items():
        for other, theirs in both.everything.items():
            if (
                other != name
                and theirs.shape == part.shape
                and theirs.any()
                and _is(part, theirs, part - both.right[name])
            ):
                return "swapped", f"has at {name} the gradient of {other}"
    return None


def _decayed(both: Both) -> Found:
    """h = g + c p, or c times the signs of p: the derivative of a penalty on one side alone."""
    p, off = both.joined(both.parameters), both.joined(both.wrong) - both.joined(both.right)
    right = both.joined(both.right)
    if np.ptp(np.abs(p)) <= CLOSE * np.abs(p).max() or _is(off, factor_between(off, right) * right, off):
        return None  # a multiple of either
    penalties = [(p, "the parameters: weight decay")]
    if p.min() < 0 < p.max():
        penalties.append((np.sign(p), "the parameters' signs: an L1 penalty"))
    for along, what in penalties:
        factor = factor_between(off, along)
        if _is(off, factor * along, off):
            plus = "plus" if factor > 0 else "minus"
            return "decay", f"is the other {plus} {abs(factor):.6g} times {what} on one side alone?"
    return None


def _stepped(both: Both) -> Found:
    """h = p - c g: what a step of gradient descent leaves."""
    p, wrong, right = (both.joined(leaves) for leaves in (both.parameters, both.wrong, both.right))
    rate = factor_between(p - wrong, right)
    if not rate > 0 or not _is(p - wrong, rate * right, p - wrong):
        return None
    return "stepped", f"is the parameters after a step of {rate:.6g} times the other, and no gradient"


def _one_size(both: Both) -> Found:
    """h = c sign(g)."""
    wrong, right = both.joined(both.wrong), both.joined(both.right)
    size = float(np.abs(wrong).max())
    both_signs = right.min(initial=0.0) < 0 < right.max(initial=0.0)  # else it may be a mean of all
    if not size or not both_signs or not _is(wrong, size * np.sign(right), wrong - right):
        return None
    return "signs", f"has the other's signs, and {size:.6g} everywhere: as signs alone, or Adam's first step"


def _clipped(both: Both) -> Found:
    """h = g where that is small, and not larger than what several elements of it are."""
    wrong, right = both.joined(both.wrong), both.joined(both.right)
    most = float(np.abs(wrong).max())
    at_most = np.abs(wrong) >= (1 - CLOSE) * most
    if at_most.all() or at_most.sum() < 2 or not _is(wrong, np.clip(right, -most, most), wrong - right):
        return None
    return "clipped", f"is the other, clipped to {most:.6g}: compare gradients before they are"


def _by_leaf(both: Both) -> Found:
    """h = c g in each leaf, with another c in each."""
    if len(both.wrong) < 2:
        return None
    factors = {name: factor_between(part, both.right[name]) for name, part in both.wrong.items()}
    for name, part in both.wrong.items():
        right = both.right[name]
        if part.size < 2 or not factors[name] or not _is(part, factors[name] * right, part - right):
            return None
    lengths = [float(np.linalg.norm(part)) for part in both.wrong.values()]
    if np.ptp(lengths) <= CLOSE * lengths[0]:
        what = f"has a length of {lengths[0]:.6g} in each leaf"
        return "clipped", f"{what}: clipped or normalised leaf by leaf?"
    return (
        "factors",
        f"is the other times {listed([f'{written(f)} in {name}' for name, f in factors.items()])}",
    )


def normalised(both: Both) -> Found:
    """h = g / |g|, of all leaves together."""
    wrong, right = both.joined(both.wrong), both.joined(both.right)
    if wrong.size < FEWEST or len(both.wrong) < len(both.everything):
        return None
    length = float(np.linalg.norm(right))
    if not length or not _is(wrong, right / length, CLOSE * (wrong - right)):
        return None
    return "normalised", "is the other, normalised: its length is 1"


LOOKS: tuple[Callable[[Both], Found], ...] = (_swapped, _decayed, _stepped, _one_size, _clipped, _by_leaf)


def factor_between(got: Array, expected: Array) -> float:
    """By what a tensor is to be multiplied to come nearest to another; 0 if it is zero."""
    size = float(np.vdot(expected, expected))
    return float(np.vdot(expected, got)) / size if size else 0.0


def _is(got: Array, expected: Array, off: Array) -> bool:
    """Whether a formula explains nearly all of what a gradient is off by."""
    return bool(np.linalg.norm(got - expected) <= CLOSE * np.linalg.norm(off))

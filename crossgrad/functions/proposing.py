"""A proposal of which leaf is which: of the same values, and where several have those, of the same layer.

Values that no other leaf has tell which leaf is which, so also which layer is which, and in which order
the axes of a kernel are. What has values that others have too, as biases of zeros, or kernels
that are their own transposes, follows these. Names come last: with their numbers left out, as one
framework counts from 0 and another from 1, and then in the order of these.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache

import numpy as np

from ..networks.dtypes import Array
from .places import Place, layouts


@dataclass(frozen=True)
class Fit:
    """A leaf, and a place whose shape it has when its axes are so; `equal` if it then has its values."""

    name: str
    other: str
    axes: tuple[int, ...]
    equal: bool

    @property
    def pair(self) -> tuple[str, str]:
        return self.name, self.other

    @property
    def roles(self) -> tuple[str, str, tuple[int, ...]]:
        """Kernel and weight, say, and how the one becomes the other."""
        return _numberless(_split(self.name)[-1]), _numberless(_split(self.other)[-1]), self.axes


def propose(own: Mapping[str, Array], others: Mapping[str, Array], same_values: bool) -> dict[str, Place]:
    """The likeliest place of each leaf: same values first, then same shape, then the most alike name."""
    fits = [
        Fit(name, other, axes, same_values and np.array_equal(np.transpose(array, axes), theirs))
        for name, array in own.items()
        for other, theirs in others.items()
        for axes in layouts(array.shape, theirs.shape)
    ]
    evidence, likeness = _evidence(fits), _likeness(fits, _ranks(own), _ranks(others))
    of_name = {name: [fit for fit in fits if fit.name == name] for name in own}
    found: dict[str, Place] = {}
    taken: dict[str, tuple[int, ...]] = {}
    for fit in sorted(fits, key=lambda fit: (evidence[fit], likeness[fit]), reverse=True):
        if fit.name not in found and fit.other not in taken:
            rivals = (
                rival for rival in of_name[fit.name] if rival != fit and evidence[rival] == evidence[fit]
            )
            guessed = any(taken.get(rival.other, evidence[fit]) <= evidence[fit] for rival in rivals)
            found[fit.name] = Place(fit.other, fit.axes, guessed)
            taken[fit.other] = evidence[fit]
    return found


def _evidence(fits: list[Fit]) -> dict[Fit, tuple[int, ...]]:
    """What speaks for each fit beside names that are alike: what values tell, and names that are the same."""
    pairs = {fit.pair for fit in fits if fit.equal}
    names, others = Counter(name for name, _ in pairs), Counter(other for _, other in pairs)
    known = {(name, other) for name, other in pairs if names[name] == others[other] == 1}
    layers = {layer for pair in known for layer in _layers(*pair)}
    ways = Counter(fit.pair for fit in fits if fit.equal)
    roles = {fit.roles for fit in fits if fit.equal and fit.pair in known and ways[fit.pair] == 1}
    return {
        fit: (
            fit.equal,
            sum(layer in layers for layer in _layers(*fit.pair)),
            fit.roles in roles,
            fit.name == fit.other,
        )
        for fit in fits
    }


def _likeness(
    fits: list[Fit], own: Mapping[str, int], others: Mapping[str, int]
) -> dict[Fit, tuple[float, int, bool]]:
    alike = cache(lambda mine, theirs: SequenceMatcher(None, mine, theirs).ratio())  # few names differ
    return {
        fit: (
            alike(_numberless(fit.name), _numberless(fit.other)),
            -abs(own[fit.name] - others[fit.other]),
            fit.axes == tuple(range(len(fit.axes))),
        )
        for fit in fits
    }


def _layers(name: str, other: str) -> Iterator[tuple[str, str]]:
    """What the one leaf is in, with what the other is in, at all depths: one of these is the layer."""
    for mine in _holders(name):
        for theirs in _holders(other):
            yield mine, theirs


def _holders(name: str) -> list[str]:
    """What a leaf is in, by its path; of W1 it is the number."""
    *path, last = _split(name)
    numbers = "".join(re.findall(r"\d+", last))
    return ["/".join(path[: n + 1]) for n in range(len(path))] + ["/".join([*path, numbers])] * bool(numbers)


def _split(name: str) -> list[str]:
    return re.split(r"[/.]", name)


def _numberless(name: str) -> str:
    """A name without its numbers."""
    return re.sub(r"\d+", "", name.lower())


def _ranks(names: Mapping[str, Array]) -> dict[str, int]:
    """The place of each name among those that differ from it in numbers alone."""
    found: dict[str, int] = {}
    seen: Counter[str] = Counter()
    for name in sorted(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)]):
        found[name] = seen[_numberless(name)]
        seen[_numberless(name)] += 1
    return found

"""Names for a fitted factor: products of 2, the batch size B, the outputs O and the learning rate lr."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from ..networks.cases import Case

HINTS = {
    "2": "a missing 1/2 in the loss, or added twice (not set to zero before)?",
    "1/2": "a 1/2 too many in the loss, or the 2 of the square forgotten?",
    "B": "summed over the batch where it should be averaged?",
    "1/B": "averaged over the batch once too often?",
    "O": "summed over the outputs where it should be averaged?",
    "1/O": "averaged over the outputs once too often?",
    "B or O": "summed over the batch, or the outputs, where it should be averaged?",
    "1/B or 1/O": "averaged over the batch, or the outputs, once too often?",
    "B O": "of a sum where it should be of a mean?",
    "1/(B O)": "of a mean where it should be of a sum?",
    "lr": "the learning rate multiplied in too early?",
    "1/lr": "divided by the learning rate?",
    "B/(B - 1)": "averaged over one sample less?",
}

OF_ONE_LAYER = {
    **{text: hint for text, hint in HINTS.items() if "B" in text and "O" not in text},
    "2": "added twice (not set to zero before)?",
    "B or O": HINTS["B"],
    "1/B or 1/O": HINTS["1/B"],
    "lr": HINTS["lr"],
    "1/lr": HINTS["1/lr"],
}
"""Of a layer below the last: what is wrong with the loss is wrong with the last layer's gradients too."""


@dataclass(frozen=True)
class Name:
    """A named number: how it is written, its value, and how far-fetched it is."""

    text: str
    value: float
    complexity: int

    def hint(self, of_one_layer: bool) -> str | None:
        """What the factor may come from, if that is known."""
        return (OF_ONE_LAYER if of_one_layer else HINTS).get(self.text)


def name_of(case: Case, value: float, uncertainty: float) -> Name | None:
    """The simplest named number within `uncertainty` of `value`, if there is one."""
    near = [name for name in _names(case) if abs(name.value - value) <= uncertainty]
    found = min(near, key=lambda name: (name.complexity, abs(name.value - value)), default=None)
    for both in ("B or O", "1/B or 1/O"):
        if found is not None and found.text in both.split(" or ") and _is_square(case):
            return replace(found, text=both)
    return found


def _is_square(case: Case) -> bool:
    """Whether there are as many samples as outputs."""
    return case.batch_size == case.network.widths[-1]


def scale_of_pixels(value: float, uncertainty: float) -> Name | None:
    """255 or 256, or one over it, if that is within `uncertainty` of `value`."""
    names = [Name(f"1/{n}", 1 / n, 1) for n in (255, 256)] + [Name(str(n), float(n), 1) for n in (255, 256)]
    return next((name for name in names if abs(name.value - value) <= uncertainty), None)


def _names(case: Case) -> Iterator[Name]:
    """All of them, from the simplest; B or O of 1 and a zero rate give no name."""
    bases = {"2": 2.0, "B": float(case.batch_size), "O": float(case.network.widths[-1])}
    bases |= {"lr": abs(case.learning_rate)}
    ranges = [range(-2, 3) if text == "2" else range(-1, 2) for text in bases]
    for exponents in product(*ranges):
        used = {text: power for text, power in zip(bases, exponents, strict=True) if power}
        if used and all(bases[text] not in (0.0, 1.0) for text in used):
            value = 1.0
            for text, power in used.items():
                value *= bases[text] ** power
            yield Name(_written(used), value, sum(map(abs, exponents)) + ("lr" in used))
    if case.batch_size > 2:
        B = case.batch_size
        yield Name("B/(B - 1)", B / (B - 1), 3)
        yield Name("(B - 1)/B", (B - 1) / B, 3)


def _written(powers: dict[str, int]) -> str:
    """``2 B/O``: numerator and denominator of a product of powers."""

    def side(sign: int) -> list[str]:
        return [
            str(2 ** abs(power)) if text == "2" else text
            for text, power in powers.items()
            if power * sign > 0
        ]

    above, below = " ".join(side(1)) or "1", side(-1)
    if not below:
        return above
    return f"{above}/{below[0]}" if len(below) == 1 else f"{above}/({' '.join(below)})"

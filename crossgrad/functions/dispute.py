"""Functions that disagree, and what is found of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .arguments import Arguments
from .judging import LeafComparison, disagreeing, groups
from .measuring import Measured
from .resemblance import CONVENTION, Resemblance, resemblance


@dataclass(frozen=True)
class FunctionBlame:
    """A function that is wrong.

    Parameters
    ----------
    evidence
        How that is known, in words.
    quantities
        Where it differs from those that are right.
    looks_like
        What its gradient is instead, if that is recognised.
    """

    function: str
    evidence: str
    quantities: tuple[str, ...]
    looks_like: Resemblance | None


@dataclass(frozen=True)
class Finding:
    """The blames, and what else is to be said where functions disagree.

    Parameters
    ----------
    convention
        Whether they differ only by a factor that their losses share.
    """

    blames: tuple[FunctionBlame, ...]
    remarks: tuple[str, ...] = ()
    convention: bool = False


@dataclass(frozen=True)
class Dispute:
    """Functions that are as near to themselves in float64 as they should be, and disagree.

    Parameters
    ----------
    functions
        By name.
    groups
        Names of those that agree with each other, the largest group first.
    """

    functions: Mapping[str, Measured]
    groups: Sequence[Sequence[str]]
    comparisons: Sequence[LeafComparison]
    arguments: Arguments

    def apart(self, one: str, other: str) -> list[str]:
        """The quantities in which two disagree."""
        return disagreeing(self.comparisons, one, other)

    def differing(self, one: str) -> list[str]:
        """Those from which it differs, of the largest group first."""
        return [other for group in self.groups for other in group if self.apart(one, other)]

    def agree(self, names: Sequence[str]) -> bool:
        """Whether these agree with each other."""
        return len(groups(names, self.comparisons)) == 1

    def looks_like(self, one: str, other: str) -> Resemblance | None:
        """What the one is beside the other."""
        return resemblance(self.functions[one], self.functions[other], self.apart(one, other), self.arguments)

    def blame(self, wrong: str, right: str, evidence: str) -> FunctionBlame:
        quantities = tuple(self.apart(wrong, right))
        return FunctionBlame(wrong, evidence, quantities, self.looks_like(wrong, right))

    def blames(self, evidence: Mapping[str, str], right: str) -> list[FunctionBlame]:
        """Those with evidence against them, as far as they differ from one that is right."""
        return [self.blame(name, right, why) for name, why in evidence.items() if self.apart(name, right)]


def is_convention(looks: Resemblance | None) -> bool:
    """Whether what one is beside another is a convention."""
    return looks is not None and looks.cause == CONVENTION

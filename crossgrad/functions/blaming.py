"""Who is wrong among functions that disagree, on what evidence, and what the error looks like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .arbiter import is_its_own, is_of_its_loss
from .arguments import Arguments
from .judging import ITSELF, TOGETHER, LeafComparison, disagreeing, groups, is_another_in_float64
from .measuring import Measured
from .resemblance import CONVENTION, Resemblance, resemblance
from .runs import LOSS_NAME

SLOPE = "its gradient is not the slope of its own loss, by differences in float64"

KINK = (
    "nobody is called wrong: the loss has a kink here, and each gradient is between its slopes to both sides"
)


ANOTHER = (
    "the functions agree with each other, and so they do in float64, but what they compute there is far from "
    "this: random numbers drawn in the arguments' dtype (draw them outside and pass them in), "
    "a branch on the dtype, or an overflow"
)


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


def find_wrong(
    found: Sequence[Measured], comparisons: Sequence[LeafComparison], arguments: Arguments
) -> Finding:
    """Name the functions that are wrong.

    Those that are further from themselves in float64 than rounding takes them. Of the rest, those
    whose gradient is not that of their own loss; or else, as they then compute different losses,
    those in the minority.
    """
    imprecise = _imprecise(found, comparisons)
    lost = {blame.function for blame in imprecise}
    by_name = {m.name: m for m in found if m.name not in lost}
    grouped = groups(list(by_name), comparisons)
    if len(grouped) < 2:
        together = any(c.judgement.reason == TOGETHER for c in comparisons)
        return Finding(tuple(imprecise), (ANOTHER,) if together else ())
    verdicts = {name: _consistent(m, grouped, by_name, comparisons, arguments) for name, m in by_name.items()}
    right = [name for name, own in verdicts.items() if own]
    if len(right) == len(by_name) and not any(c.is_wrong and c.quantity == LOSS_NAME for c in comparisons):
        return Finding(tuple(imprecise), (KINK,), convention=not imprecise)
    evidence = {name: SLOPE for name, own in verdicts.items() if own is False}
    if right and not evidence and _agree(right, comparisons):
        text = f"the gradient of {right[0]} is the slope of its loss; that of this one could not be followed"
        evidence = {name: text for name, own in verdicts.items() if own is None and not by_name[name].redraws}
    blames = [
        _blame(by_name[name], _nearest(name, right or grouped[0], by_name), comparisons, why)
        for name, why in evidence.items()
        if not right or disagreeing(comparisons, name, right[0])
    ]
    rest = Finding(tuple(blames)) if blames else _by_majority(grouped, by_name, comparisons)
    return Finding((*imprecise, *rest.blames), rest.remarks, rest.convention and not imprecise)


def _agree(names: Sequence[str], comparisons: Sequence[LeafComparison]) -> bool:
    return len(groups(names, comparisons)) == 1


def _consistent(
    one: Measured,
    grouped: Sequence[Sequence[str]],
    by_name: Mapping[str, Measured],
    comparisons: Sequence[LeafComparison],
    arguments: Arguments,
) -> bool | None:
    """Whether a function's gradient is that of its own loss, beside one of each group that is not its own."""
    if one.redraws:
        return None  # its loss in float64 is another one
    others = [by_name[group[0]] for group in grouped if one.name not in group]
    answers = [
        is_of_its_loss(one, arguments)
        if disagreeing(comparisons, one.name, other.name) == [LOSS_NAME]
        else is_its_own(one, other, arguments)
        for other in others
    ]
    if any(answer is False for answer in answers):
        return False
    return True if any(answers) else _by_the_others_loss(one, others, arguments)


def _by_the_others_loss(one: Measured, others: Sequence[Measured], arguments: Arguments) -> bool | None:
    """A function without a loss is wrong if another with one differs from it and is right."""
    if one.got.loss is not None:
        return None
    answers = [is_its_own(other, one, arguments) for other in others]
    return False if any(answers) else None


def _by_majority(
    grouped: Sequence[Sequence[str]], by_name: Mapping[str, Measured], comparisons: Sequence[LeafComparison]
) -> Finding:
    """Of functions that compute different losses the minority is wrong, if there is one."""
    largest, second = grouped[0], grouped[1]
    right = by_name[largest[0]]
    if len(largest) == len(second):
        return _undecided(right, [by_name[group[0]] for group in grouped[1:]], comparisons)
    evidence = f"{len(largest)} of {len(by_name)} functions agree on another"
    blames = tuple(
        _blame(by_name[name], right, comparisons, evidence) for group in grouped[1:] for name in group
    )
    return Finding(blames, convention=all(_is_convention(blame.looks_like) for blame in blames))


def _undecided(one: Measured, others: Sequence[Measured], comparisons: Sequence[LeafComparison]) -> Finding:
    """What the first is beside one of each other group."""
    apart = {other.name: disagreeing(comparisons, one.name, other.name) for other in others}
    looks = {other.name: resemblance(one, other, apart[other.name]) for other in others}
    what = "; ".join(f"{one.name} {look.text}, beside {name}" for name, look in looks.items() if look)
    if any(LOSS_NAME in quantities for quantities in apart.values()):
        text = "nobody is called wrong, as they compute different losses"
    else:
        text = "who is wrong is not known, as no loss could be followed closely enough"
    convention = all(map(_is_convention, looks.values()))
    return Finding((), (f"{text}: {what}" if what else text,), convention=convention)


def _is_convention(looks: Resemblance | None) -> bool:
    return looks is not None and looks.cause == CONVENTION


def _imprecise(found: Sequence[Measured], comparisons: Sequence[LeafComparison]) -> list[FunctionBlame]:
    """Those that are wrong in the format and right in float64."""
    blames = []
    for one in found:
        if is_another_in_float64(one, found):
            continue
        lost = [
            c.quantity for c in comparisons if c.function == one.name and c.against == ITSELF and c.is_wrong
        ]
        if lost:
            text = "its results in this dtype are further from its own in float64 than rounding takes them"
            blames.append(FunctionBlame(one.name, text, tuple(lost), None))
    return blames


def _blame(
    wrong: Measured, right: Measured, comparisons: Sequence[LeafComparison], evidence: str
) -> FunctionBlame:
    quantities = disagreeing(comparisons, wrong.name, right.name)
    return FunctionBlame(wrong.name, evidence, tuple(quantities), resemblance(wrong, right, quantities))


def _nearest(name: str, candidates: Sequence[str], by_name: Mapping[str, Measured]) -> Measured:
    """The function to hold a wrong one against: another than itself, if there is one."""
    others = [other for other in candidates if other != name] or [other for other in by_name if other != name]
    return by_name[others[0]]

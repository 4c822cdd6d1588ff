"""Who is wrong among functions that disagree, on what evidence, and what the error looks like."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..words import listed
from .arbiter import between, follows, gradients_of, has_loss_in_float64, norm
from .arguments import LOSS_NAME, Arguments
from .closer import factor_of_slope, is_consistent
from .grain import grain
from .judging import FLOAT64, ITSELF, LeafComparison, disagreeing, groups
from .kinks import differ_by_a_kink, is_beyond, jumps
from .measuring import Measured
from .resemblance import CONVENTION, Resemblance, resemblance, written
from .stops import stops_gradients
from .together import REMARKS, is_another_in_float64

SLOPE = "its gradient is not the slope of its own loss, by differences in float64"
BESIDE = "and where they differ the gradient of {0} is the slope of its own, by differences in float64"
WITHOUT = f"it gives no loss, {BESIDE}"
THEIRS = f"its loss is that of {{0}}, {BESIDE}"

NOT_FINITE = "it is not finite where that of {} is, which is the slope of its loss, by differences in float64"

STEPS = "its loss in float64 moves in steps, as if part of it were rounded, or computed in a narrower dtype"

FEW = 16.0
"""Steps that a loss moves in by which it may be off, and ulp of its dtype that a step has to exceed."""

ALIKE = 2.0**-10
"""Share of a step by which losses differ that are all rounded; one rounded alone seldom comes so near."""

STAIRS = (
    "nobody is called wrong: the losses are equal and move in steps, as where something is rounded; "
    "whether a gradient is to go straight through that is for you to say"
)

KINK = "nobody is called wrong: the loss has a kink here, and around it the gradients agree"

BEYOND = "the loss has a kink here, and its gradient is none of those around, nor between them"


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
    dispute = Dispute(by_name, groups(list(by_name), comparisons), comparisons, arguments)
    if len(dispute.groups) < 2:
        reasons = {c.judgement.reason for c in comparisons}
        return Finding(tuple(imprecise), tuple(text for why, text in REMARKS.items() if why in reasons))
    if _is_about_a_kink(dispute):
        beyond = _by_what_is_around(dispute)
        return Finding((*imprecise, *beyond), () if beyond else (KINK,), convention=not (beyond or imprecise))
    verdicts = {name: _consistent(m, dispute) for name, m in by_name.items()}
    verdicts |= dict.fromkeys(_as_intended(verdicts, dispute))
    blames = _by_slopes(verdicts, dispute)
    rest = Finding(tuple(blames)) if blames else by_majority(verdicts, dispute)
    return Finding((*imprecise, *rest.blames), rest.remarks, rest.convention and not imprecise)


def _consistent(one: Measured, dispute: Dispute) -> bool | None:
    """Whether a function's gradient is that of its own loss, beside one of each group that is not its own."""
    if one.redraws:
        return None  # its loss in float64 is another one
    answers = [_is_its_own(one, other, dispute) for other in _others(one, dispute)]
    if any(answer is False for answer in answers):
        return False
    if any(answers):
        return True
    return False if _by_the_others_loss(one, dispute) else None


def _others(one: Measured, dispute: Dispute) -> list[Measured]:
    """One of each group that is not its own."""
    return [dispute.functions[group[0]] for group in dispute.groups if dispute.apart(one.name, group[0])]


def _is_its_own(one: Measured, other: Measured, dispute: Dispute) -> bool | None:
    """Whether `one`'s gradient is that of its own loss, where `other` differs; at a kink that is unknown."""
    towards = between(one, other)
    if dispute.apart(one.name, other.name) == [LOSS_NAME] or not np.isfinite(norm(towards)):
        towards = gradients_of(one)  # there is no direction to what is equal, nor to NaN
    answer = follows(one, towards, dispute.arguments)
    return None if answer is None or jumps(one, towards, dispute.arguments) else answer


def _as_intended(verdicts: Mapping[str, bool | None], dispute: Dispute) -> Sequence[str]:
    """The largest group, if all in it stop gradients, so that they are not the slopes of their losses."""
    largest, second = dispute.groups[:2]
    if len(largest) == len(second) or any(verdicts[name] is not False for name in largest):
        return ()
    stopping = all(stops_gradients(dispute.functions[name], dispute.arguments) for name in largest)
    return largest if stopping else ()


def _by_the_others_loss(one: Measured, dispute: Dispute) -> list[str]:
    """Those of the same loss that show a function wrong which has none, or none in float64."""
    if has_loss_in_float64(one):
        return []
    others = _others(one, dispute)
    if one.got.loss is not None:
        others = [other for other in others if LOSS_NAME not in dispute.apart(one.name, other.name)]
    return [other.name for other in others if _is_its_own(other, one, dispute)]


def _is_about_a_kink(dispute: Dispute) -> bool:
    """Whether all groups differ by what they take for the gradient at a kink."""
    if not all(m.is_followed for m in dispute.functions.values()):
        return False
    one, *others = (dispute.functions[group[0]] for group in dispute.groups)
    return all(
        LOSS_NAME not in dispute.apart(one.name, other.name)
        and differ_by_a_kink(one, other, dispute.arguments)
        for other in others
    )


def _by_what_is_around(dispute: Dispute) -> list[FunctionBlame]:
    """Those whose gradient at a kink is neither to one side of it nor between."""
    differing = [name for name in dispute.functions if dispute.differing(name)]
    beyond = [name for name in differing if is_beyond(dispute.functions[name], dispute.arguments)]
    return [dispute.blame(name, _another(name, dispute, beyond), BEYOND) for name in beyond]


def _by_slopes(verdicts: Mapping[str, bool | None], dispute: Dispute) -> list[FunctionBlame]:
    """Those whose gradient is not the slope of their own loss."""
    right = [name for name, own in verdicts.items() if own]
    wrong = [name for name, own in verdicts.items() if own is False]
    infinite = [name for name in verdicts if right and _is_lost(name, right[0], dispute)]
    if right and (wrong or infinite):
        evidence = {name: _why(name, right, dispute) for name in wrong}
        evidence |= {name: NOT_FINITE.format(right[0]) for name in infinite}
        return dispute.blames(evidence, right[0])
    if wrong:
        return [
            dispute.blame(name, _another(name, dispute, wrong), _why(name, right, dispute)) for name in wrong
        ]
    return _by_a_closer_look(dispute)


def _why(wrong: str, right: Sequence[str], dispute: Dispute) -> str:
    """What speaks against a function: its own loss, or that of another, one that is right if there is one."""
    one = dispute.functions[wrong]
    witnesses = _by_the_others_loss(one, dispute)
    if not witnesses:
        return _no_slope(wrong, dispute)
    witness = min(witnesses, key=lambda name: name not in right)
    return (WITHOUT if one.got.loss is None else THEIRS).format(witness)


def _no_slope(name: str, dispute: Dispute) -> str:
    """That a gradient is not the slope of its own loss, and whether it may be meant not to be.

    As where code stops gradients, or leaves a part of them, as clipping does, and no half.
    """
    if stops_gradients(dispute.functions[name], dispute.arguments):
        return f"{SLOPE}, as it stops gradients (detach, no_grad, stop_gradient): on purpose?"
    factor = factor_of_slope(dispute.functions[name], dispute.arguments)
    if factor is None or not 0 < factor < 1 or "/" in written(factor) or written(factor) == "1":
        return SLOPE
    return f"{SLOPE}, but {written(factor)} times that: clipped or scaled, on purpose?"


def _by_a_closer_look(dispute: Dispute) -> list[FunctionBlame]:
    """Where as many say the one as the other: those that more directions, or their own noise, give away."""
    functions, (largest, second) = dispute.functions, dispute.groups[:2]
    if len(largest) != len(second) or any(m.redraws for m in functions.values()):
        return []
    if _is_convention(dispute.looks_like(largest[0], second[0])):
        return []
    grains = _grains(dispute)
    if _is_stepped_alike(dispute, grains):
        return []
    answers = {name: is_consistent(m, dispute.arguments) for name, m in functions.items() if not grains[name]}
    right = [name for name, answer in answers.items() if answer]
    if not right or not dispute.agree(right):
        return []
    evidence = {name: _no_slope(name, dispute) for name, answer in answers.items() if answer is False}
    beside = functions[right[0]]
    coarse = {
        name: size for name, size in grains.items() if size and _is_coarse(functions[name], size, dispute)
    }
    evidence |= {name: STEPS for name, size in coarse.items() if _is_as_near(functions[name], beside, size)}
    infinite = [name for name in functions if _is_lost(name, right[0], dispute)]
    evidence |= {name: NOT_FINITE.format(right[0]) for name in infinite}
    evidence |= {name: WITHOUT.format(right[0]) for name, m in functions.items() if m.got.loss is None}
    return dispute.blames(evidence, right[0])


def _grains(dispute: Dispute) -> dict[str, float]:
    return {name: _grain(m, dispute.arguments) for name, m in dispute.functions.items()}


def _is_stepped_alike(dispute: Dispute, grains: Mapping[str, float]) -> bool:
    """Whether the losses differ by next to nothing of the steps that they move in: those of all, then."""
    losses = [float(m.best[LOSS_NAME]) for m in dispute.functions.values() if m.got.loss is not None]
    return len(losses) > 1 and bool(np.ptp(losses) < ALIKE * max(grains.values()))


def _grain(one: Measured, arguments: Arguments) -> float:
    """As `grain`; at a kink it is not known, as a loss may stand still to one side."""
    return 0.0 if jumps(one, gradients_of(one), arguments) else grain(one, arguments)


def _is_as_near(one: Measured, other: Measured, step: float) -> bool:
    """Whether the losses differ by a few of the steps that one of them moves in, and not as two losses do."""
    return abs(float(one.best[LOSS_NAME]) - float(other.best[LOSS_NAME])) <= FEW * step


def _is_lost(name: str, right: str, dispute: Dispute) -> bool:
    """Whether a gradient is not finite, and its loss no other one, where it might be right."""
    one = dispute.functions[name]
    other_loss = LOSS_NAME in dispute.apart(name, right) and np.isfinite(one.best[LOSS_NAME]).all()
    return not _is_finite(one) and not other_loss


def _is_finite(one: Measured) -> bool:
    return all(np.isfinite(one.best[name]).all() for name in one.got.gradients)


def _is_coarse(one: Measured, step: float, dispute: Dispute) -> bool:
    """Whether a loss moves in steps that its dtype does not explain."""
    return step > FEW * dispute.arguments.format.eps * abs(float(one.best[LOSS_NAME]))


def by_majority(verdicts: Mapping[str, bool | None], dispute: Dispute) -> Finding:
    """Of functions that compute different losses the minority is wrong, if there is one.

    One that differs from all of the largest group: from a part of it two may differ that are each as
    near to the others as noise takes them.
    """
    largest, second = dispute.groups[:2]
    if len(largest) == len(second):
        return _undecided(verdicts, dispute)
    others = [name for group in dispute.groups[1:] for name in group]
    minority = [name for name in others if all(dispute.apart(name, one) for one in largest)]
    left = [name for name in others if name not in minority]
    told = "; ".join(f"{name} differs from {listed(dispute.differing(name))} alone" for name in left)
    remarks = (f"not called wrong: {told}",) if left else ()
    evidence = f"{len(largest)} of {len(dispute.functions)} functions agree on another"
    blames = tuple(dispute.blame(name, largest[0], evidence) for name in minority)
    convention = not left and all(_is_convention(blame.looks_like) for blame in blames)
    return Finding(blames, remarks, convention=convention)


def _undecided(verdicts: Mapping[str, bool | None], dispute: Dispute) -> Finding:
    """What the first is beside one of each other group."""
    one, *others = [group[0] for group in dispute.groups]
    looks = {other: dispute.looks_like(one, other) for other in others}
    what = "; ".join(f"{one} {look.text}, beside {name}" for name, look in looks.items() if look)
    if any(LOSS_NAME in dispute.apart(one, other) for other in others):
        losses = _losses(dispute)
        text = f"nobody is called wrong, as they compute different losses{losses and f' ({losses})'}"
    elif _is_stepped_alike(dispute, _grains(dispute)):
        text = STAIRS
    elif all(verdicts.values()):
        text = f"nobody is called wrong, as each gradient is the slope of its own loss{_too_near(dispute)}"
    else:
        text = f"who is wrong is not known, as {_unfollowed(dispute)}"
    convention = all(map(_is_convention, looks.values()))
    return Finding((), (f"{text}: {what}" if what else text,), convention=convention)


def _too_near(dispute: Dispute) -> str:
    """The losses, where these are nearer to each other than the dtype shows, in words."""
    dtype = dispute.arguments.format.name
    losses = _losses(dispute)
    if not losses or dtype == FLOAT64.name:
        return ""
    return f"; the losses differ in float64 ({losses}), by less than {dtype} shows"


def _losses(dispute: Dispute) -> str:
    """One of each group, in six digits; nothing where these do not tell them apart."""
    ones = [dispute.functions[group[0]] for group in dispute.groups]
    losses = [f"{float(one.best[LOSS_NAME]):.6g}" for one in ones if LOSS_NAME in one.best]
    return listed(losses) if len(set(losses)) == len(ones) else ""


def _unfollowed(dispute: Dispute) -> str:
    """Whose loss could not be followed closely enough, in words."""
    lost = [
        name for name, m in dispute.functions.items() if m.got.loss is not None and not has_loss_in_float64(m)
    ]
    if not lost or len(lost) == len(dispute.functions):
        return "no loss could be followed closely enough"
    return f"the loss of {listed(lost)} could not be followed in float64"


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


def _another(name: str, dispute: Dispute, wrong: Collection[str]) -> str:
    """One to hold a wrong function against, from which it differs: that is not wrong, if there is one."""
    return min(dispute.differing(name), key=lambda other: other in wrong)

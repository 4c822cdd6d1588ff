"""Who is wrong among functions that disagree, on what evidence, and what the error looks like."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from .arbiter import between, follows, gradients_of, has_loss_in_float64, norm
from .arguments import LOSS_NAME, Arguments
from .closer import factor_of_slope, is_consistent
from .dispute import Dispute, Finding, FunctionBlame, is_convention
from .factors import written
from .judging import ITSELF, LeafComparison, groups
from .kinks import differ_by_a_kink, is_beyond, jumps
from .majority import by_majority
from .measuring import Measured
from .same_loss import is_of_the_same_loss
from .stairs import grains_of, is_as_near, is_coarse, is_stepped_alike
from .stops import stops_gradients
from .together import REMARKS, is_another_in_float64

SLOPE = "its gradient is not the slope of its own loss, by differences in float64"
BESIDE = "and where they differ the gradient of {0} is the slope of its own, by differences in float64"
WITHOUT = f"it gives no loss, {BESIDE}"
THEIRS = f"its loss is that of {{0}}, {BESIDE}"

NOT_FINITE = "it is not finite where that of {} is, which is the slope of its loss, by differences in float64"

STEPS = "its loss in float64 moves in steps, as if part of it were rounded, or computed in a narrower dtype"

KINK = "nobody is called wrong: the loss has a kink here, and around it the gradients agree"

BEYOND = "the loss has a kink here, and its gradient is none of those around, nor between them"


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
    others = [other for other in _others(one, dispute) if _may_share_a_loss(one, other, dispute)]
    return [other.name for other in others if _is_its_own(other, one, dispute)]


def _may_share_a_loss(one: Measured, other: Measured, dispute: Dispute) -> bool:
    """Whether the loss of another may be that of a function which has none, or none in float64."""
    if one.got.loss is None:
        return not is_convention(dispute.looks_like(one.name, other.name))
    apart = LOSS_NAME in dispute.apart(one.name, other.name)
    return not apart and is_of_the_same_loss(one, other, dispute.arguments)


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
    if is_convention(dispute.looks_like(largest[0], second[0])):
        return []
    grains = grains_of(dispute)
    if is_stepped_alike(dispute, grains):
        return []
    answers = {name: is_consistent(m, dispute.arguments) for name, m in functions.items() if not grains[name]}
    right = [name for name, answer in answers.items() if answer]
    if not right or not dispute.agree(right):
        return []
    evidence = {name: _no_slope(name, dispute) for name, answer in answers.items() if answer is False}
    beside = functions[right[0]]
    coarse = {
        name: size for name, size in grains.items() if size and is_coarse(functions[name], size, dispute)
    }
    evidence |= {name: STEPS for name, size in coarse.items() if is_as_near(functions[name], beside, size)}
    infinite = [name for name in functions if _is_lost(name, right[0], dispute)]
    evidence |= {name: NOT_FINITE.format(right[0]) for name in infinite}
    evidence |= {name: WITHOUT.format(right[0]) for name, m in functions.items() if m.got.loss is None}
    return dispute.blames(evidence, right[0])


def _is_lost(name: str, right: str, dispute: Dispute) -> bool:
    """Whether a gradient is not finite, and its loss no other one, where it might be right."""
    one = dispute.functions[name]
    other_loss = LOSS_NAME in dispute.apart(name, right) and np.isfinite(one.best[LOSS_NAME]).all()
    return not one.is_finite and not other_loss


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

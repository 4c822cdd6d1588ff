"""Functions of which none is known to be wrong: the minority is, or else it is said why nobody is."""

from collections.abc import Mapping

import numpy as np

from ..words import listed
from .arbiter import has_loss_in_float64
from .arguments import LOSS_NAME
from .dispute import Dispute, Finding, is_convention
from .judging import FLOAT64
from .misread import misread
from .stairs import grains_of, is_stepped_alike

DIGITS = (6, 9, 12)
"""Of losses; further ones are the order of a sum's."""

STAIRS = (
    "nobody is called wrong: the losses are equal and move in steps, as where something is rounded; "
    "whether a gradient is to go straight through that is for you to say"
)


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
    remarks = [f"not called wrong: {told}"] if left else []
    remarks += [found for name in minority if (found := _misread(dispute, name, largest[0]))]
    evidence = f"{len(largest)} of {len(dispute.functions)} functions agree on another"
    blames = tuple(dispute.blame(name, largest[0], evidence) for name in minority)
    convention = not left and all(is_convention(blame.looks_like) for blame in blames)
    return Finding(blames, tuple(remarks), convention=convention)


def _undecided(verdicts: Mapping[str, bool | None], dispute: Dispute) -> Finding:
    """What the first is beside one of each other group."""
    one, *others = [group[0] for group in dispute.groups]
    looks = {other: dispute.looks_like(one, other) for other in others}
    what = "; ".join(f"{one} {look.text}, beside {name}" for name, look in looks.items() if look)
    if lost := _without_a_number(dispute):
        text = f"nobody is called wrong: the loss of {listed(lost)} is no number, in float64 either"
    elif any(LOSS_NAME in dispute.apart(one, other) for other in others):
        losses = _losses(dispute)
        text = f"nobody is called wrong, as they compute different losses{losses and f' ({losses})'}"
    elif infinite := [name for name, m in dispute.functions.items() if not m.is_finite]:
        text = (
            f"who is wrong is not known: the gradient of {listed(infinite)} is not finite, and no slope tells"
        )
    elif is_stepped_alike(dispute, grains_of(dispute)):
        text = STAIRS
    elif all(verdicts.values()):
        text = f"nobody is called wrong, as each gradient is the slope of its own loss{_too_near(dispute)}"
    else:
        text = f"who is wrong is not known, as {_unfollowed(dispute)}"
    convention = all(map(is_convention, looks.values()))
    misread = [] if convention else [found for other in others if (found := _misread(dispute, one, other))]
    return Finding((), (f"{text}: {what}" if what else text, *misread), convention=convention)


def _misread(dispute: Dispute, one: str, other: str) -> str:
    return misread(dispute.functions[one], dispute.functions[other], dispute.arguments)


def _without_a_number(dispute: Dispute) -> list[str]:
    """Those whose loss is NaN or infinite, where that of others is a number."""
    losses = {name: m.best[LOSS_NAME] for name, m in dispute.functions.items() if LOSS_NAME in m.best}
    lost = [name for name, loss in losses.items() if not np.isfinite(loss).all()]
    return lost if len(lost) < len(losses) else []


def _too_near(dispute: Dispute) -> str:
    """The losses, where these are nearer to each other than the dtype shows, in words."""
    dtype = dispute.arguments.format.name
    losses = _losses(dispute)
    if not losses or dtype == FLOAT64.name:
        return ""
    return f"; the losses differ in float64 ({losses}), by less than {dtype} shows"


def _losses(dispute: Dispute) -> str:
    """One of each group, in as many digits as tell them apart; nothing where none do."""
    ones = [dispute.functions[group[0]] for group in dispute.groups]
    losses = [float(one.best[LOSS_NAME]) for one in ones if LOSS_NAME in one.best]
    written = ([f"{loss:.{digits}g}" for loss in losses] for digits in DIGITS)
    return next((listed(told) for told in written if len(set(told)) == len(ones)), "")


def _unfollowed(dispute: Dispute) -> str:
    """Whose loss could not be followed closely enough, in words."""
    if without := [name for name, m in dispute.functions.items() if m.got.loss is None]:
        return f"{listed(without)} {'gives' if len(without) == 1 else 'give'} no loss"
    lost = [
        name for name, m in dispute.functions.items() if m.got.loss is not None and not has_loss_in_float64(m)
    ]
    if not lost or len(lost) == len(dispute.functions):
        return "no loss could be followed closely enough"
    return f"the loss of {listed(lost)} could not be followed in float64"

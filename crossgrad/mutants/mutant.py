"""What a mutant is, and the ways to make one from a replaced formula.

A mutant is a training step with one fault. Most faults are a formula, one of
``hooks.py``, that is wrong everywhere, in one layer, or in every layer of a
kind. The layer is chosen by the case's seed and the mutant's name, so a case
and its widened twin are hit in the same place.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np

from ..backends.base import Trace
from ..networks.cases import Case
from .hooked import run_hooked
from .hooks import HOOKS, Hooks, Layer

STAGES = ("forward", "loss", "backward", "element", "update", "precision")

LAYER_HOOKS = frozenset(
    ("affine", "activate", "derivative", "weight_gradient", "bias_gradient", "pull_back", "update")
)
"""The hooks that are called once a layer, with the `Layer` first."""

Applies = Callable[[Case], bool]
Where = Callable[[Case, int], bool]
"""Whether a fault is possible in layer n of a case."""


@dataclass(frozen=True)
class Mutant:
    """A training step with one fault.

    Parameters
    ----------
    name
        Unique, in words joined by hyphens.
    stage
        Where the fault stands: one of `STAGES`.
    description
        The fault in a few words.
    cause
        The key of the diagnosis that ought to recognise it, one of `diagnosis.CAUSES`, or None if none can.
    run
        The step: every quantity of a case to which the mutant applies, in its dtype.
    applies
        Whether the fault is possible in a case, judged by shapes and dtype. That it
        is possible does not mean that it shows: that is for the exact values to tell.
    layer
        The layer whose formula is wrong, where it is one chosen layer. A wrong
        pull-back through layer n shows first in ``da`` of layer n - 1.
    """

    name: str
    stage: str
    description: str
    cause: str | None
    run: Callable[[Case], Trace]
    applies: Applies
    layer: Callable[[Case], int] | None = None


def run_mutant(mutant: Mutant, case: Case) -> Trace:
    """Every quantity of `case`, in its dtype, as `mutant` computes them.

    On ``case.widened()`` these are the mutant's exact values up to float64's
    rounding; what a precision mutant narrows stays narrow there.
    """
    return mutant.run(case)


def always(case: Case) -> bool:
    return True


def any_layer(case: Case, number: int) -> bool:
    return True


def everywhere(
    name: str, stage: str, description: str, cause: str | None, applies: Applies = always, **faults: Any
) -> Mutant:
    """A mutant in which the hooks `faults` are wrong wherever they are called."""
    hooks = replace(HOOKS, **faults)
    return Mutant(name, stage, description, cause, lambda case: run_hooked(case, hooks), applies)


def in_one_layer(
    name: str, stage: str, description: str, cause: str | None, where: Where = any_layer, **faults: Any
) -> Mutant:
    """A mutant in which the hooks `faults` are wrong in one layer out of those that `where` allows."""

    def layer(case: Case) -> int:
        allowed = _allowed(case, where)
        return allowed[int(np.random.default_rng([case.seed, crc32(name.encode())]).integers(len(allowed)))]

    return Mutant(
        name,
        stage,
        description,
        cause,
        lambda case: run_hooked(case, _limited({layer(case)}, faults)),
        lambda case: bool(_allowed(case, where)),
        layer,
    )


def in_every_layer(
    name: str, stage: str, description: str, cause: str | None, where: Where, **faults: Any
) -> Mutant:
    """A mutant in which the hooks `faults` are wrong in each layer that `where` allows."""
    return Mutant(
        name,
        stage,
        description,
        cause,
        lambda case: run_hooked(case, _limited(set(_allowed(case, where)), faults)),
        lambda case: bool(_allowed(case, where)),
    )


def by_case(
    name: str,
    stage: str,
    description: str,
    cause: str | None,
    hooks: Callable[[Case], Hooks],
    applies: Applies = always,
) -> Mutant:
    """A mutant whose wrong formulas depend on the case."""
    return Mutant(name, stage, description, cause, lambda case: run_hooked(case, hooks(case)), applies)


def _allowed(case: Case, where: Where) -> list[int]:
    return [n for n in range(1, len(case.parameters) + 1) if where(case, n)]


def _limited(layers: set[int], faults: dict[str, Any]) -> Hooks:
    """The right hooks, with `faults` in their place in the layers of these numbers."""
    if not LAYER_HOOKS.issuperset(faults):
        raise ValueError(f"not called once a layer: {', '.join(set(faults) - LAYER_HOOKS)}")

    def limited(hook: str) -> Callable[..., Any]:
        right, wrong = getattr(HOOKS, hook), faults[hook]

        def either(at: Layer, *rest: Any) -> Any:
            return (wrong if at.number in layers else right)(at, *rest)

        return either

    return replace(HOOKS, **{hook: limited(hook) for hook in faults})

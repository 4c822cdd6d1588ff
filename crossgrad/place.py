"""Where an error enters: each step replayed on the wrong engine's own inputs.

A quantity that is wrong only because what it was made of is wrong agrees with
its replay; the first quantity in data-flow order that does not is where the
error enters. A replay starts from stored values, so one rounding of each is
allowed for on top of the step's own: a compiler may have used them unrounded.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from .arithmetic import Uncertain
from .networks.cases import Case
from .networks.dtypes import Array
from .networks.spec import Quantity
from .steps import Rows, Steps
from .verdict import Expectation, Judgement, judge


def place_of_error(
    case: Case, got: Mapping[str, Array], wrong: Sequence[str], apart: Collection[str] = ()
) -> str:
    """Name the quantity at which the error enters.

    Parameters
    ----------
    got
        What the engine delivered, in float64: every quantity, or the loss and gradients alone.
    wrong
        Names of the quantities that disagree, in data-flow order; at least one.
    apart
        As `wrong_steps` takes it.
    """
    if any(q.name not in got for q in case.quantities):
        return _inferred(case, wrong)
    return next(iter(wrong_steps(case, got, apart)), wrong[0])


def replayed(case: Case, got: Mapping[str, Array], *, stored: bool = True) -> dict[str, Uncertain]:
    """What each quantity should be, made of the quantities that `got` holds.

    Parameters
    ----------
    stored
        Whether these were rounded when they were stored: else the noise is the step's own.
    """
    steps = Steps(case)
    depth = len(case.parameters)
    alone = np.ones((case.batch_size, 1))

    def given(name: str) -> Uncertain:
        value = got[name]
        return Uncertain(value, steps.arithmetic.rounding(value) if stored else np.zeros_like(value))

    def output(n: int) -> Uncertain:
        return given(f"a.{n}") if n else Uncertain(steps.x, np.zeros_like(steps.x))

    found: dict[str, Uncertain] = {}
    updated: list[tuple[Rows, Uncertain | None]] = []
    for n, ((W, b), rule) in enumerate(zip(case.parameters, steps.rules, strict=True), start=1):
        found[f"z.{n}"] = steps.affine(output(n - 1), W, b)
        found[f"a.{n}"] = steps.activate(given(f"z.{n}"), rule)
        last = n == depth
        found[f"da.{n}"] = (
            steps.loss_backward(output(n))
            if last
            else steps.pull_back(given(f"dz.{n + 1}"), case.parameters[n][0])
        )
        found[f"dz.{n}"] = steps.through_activation(given(f"da.{n}"), output(n), rule)
        found[f"dW.{n}"] = steps.weight_gradient(given(f"dz.{n}"), output(n - 1), alone)
        found[f"W_new.{n}"] = steps.update(W, given(f"dW.{n}"))
        if b is not None:
            found[f"db.{n}"] = steps.bias_gradient(given(f"dz.{n}"), alone)
            found[f"b_new.{n}"] = steps.update(b, given(f"db.{n}"))
        updated.append(([(slice(None), given(f"W_new.{n}"))], None if b is None else given(f"b_new.{n}")))
    found["loss"] = steps.loss(output(depth))
    found["loss_new"] = steps.loss_after(updated, found["loss"])
    return found


def wrong_steps(case: Case, got: Mapping[str, Array], apart: Collection[str] = ()) -> dict[str, Judgement]:
    """The quantities that are not what their own inputs make of them, in data-flow order.

    Parameters
    ----------
    apart
        Loss and gradients that were made of other values than `got` has: neither they are held against
        these, nor parameters updated by others against them.
    """
    if not _complete(case, got):
        return {}
    with np.errstate(over="ignore", invalid="ignore"):
        right = replayed(case, got)
    judged = {
        q.name: judge(
            got[q.name], Expectation(right[q.name].value, np.sqrt(right[q.name].variance)), case.format
        )
        for q in case.quantities
        if q.name not in apart and _updating(q) not in apart
    }
    return {name: j for name, j in judged.items() if j.over_floor is not None and not j.over_floor <= 1}


def _updating(quantity: Quantity) -> str | None:
    """The gradient that an updated parameter was updated by."""
    parameter, updated, _ = quantity.kind.partition("_new")
    return f"d{parameter}.{quantity.layer}" if updated and quantity.layer else None


def _complete(case: Case, got: Mapping[str, Array]) -> bool:
    return all(q.name in got and np.isfinite(got[q.name]).all() for q in case.quantities)


def _inferred(case: Case, wrong: Sequence[str]) -> str:
    """Infer the place from which of the loss and gradients are wrong.

    The backward pass goes from the last layer down, so the highest layer with
    a wrong gradient is where the error enters: at dz if both dW and db are
    wrong there, at da if it is the last layer and every gradient is wrong,
    else at the one that is. A wrong loss with wrong gradients enters in the
    forward pass, unless the diagnosis finds one factor in all; without them, in the loss alone.
    """
    depth = len(case.network.layers)
    gradients = [name for name in wrong if name.partition(".")[0] in ("dW", "db")]
    if not gradients:
        return wrong[0]
    layer = max(int(name.partition(".")[2]) for name in gradients)
    here = [name for name in gradients if name.endswith(f".{layer}")]
    if "loss" in wrong and layer == depth and len(here) == 2:
        return "z.1"
    return here[0] if len(here) == 1 and case.network.layers[layer - 1].bias else f"dz.{layer}"

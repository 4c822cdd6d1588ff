"""TF32's operands: what rounding them does to a step, in each of the ways that hardware has.

The floor takes the roundings of a product's operands for independent. Those of a weight are not: it is
rounded once, and where activations have one sign, all samples are off to the same side by it. Hardware
that cuts bits off instead of rounding errs to one side throughout. Neither can be told from outside, but
both can be run: the step in float64, with operands as the tensor cores see them.
"""

from collections.abc import Callable, Iterator

import numpy as np

from .arithmetic import Uncertain
from .networks.cases import Case
from .networks.dtypes import Array
from .steps import Steps

Way = Callable[[Array], Array]
"""Operands as the product sees them, in float64."""

LOST = 13
"""Bits of a float32's 23 that TF32 has not."""


def cut(values: Array) -> Array:
    """As hardware that reads the bits which TF32 has, and no others."""
    return _seen(values, 0)


def nearest(values: Array) -> Array:
    """Rounded to nearest, ties away from zero, as the instruction ``cvt.rna.tf32.f32`` does."""
    return _seen(values, 1 << (LOST - 1))


WAYS: tuple[Way, ...] = (nearest, cut)


def _seen(values: Array, added: int) -> Array:
    single = np.asarray(values, np.float32)
    bits = (single.view(np.int32) + np.int32(added)) & np.int32(-1 << LOST)
    return np.where(np.isfinite(single), bits.view(np.float32), single).astype(np.float64)


def off_by(case: Case, exact: dict[str, Uncertain]) -> Iterator[tuple[str, Array]]:
    """How far each quantity of a TF32 case is off in the way that does most; 0 where that is no number."""
    most = {name: np.zeros(np.shape(tensor.value)) for name, tensor in exact.items()}
    for way in WAYS:
        for name, value in step(case, way):
            off = np.abs(value - exact[name].value)
            most[name] = np.fmax(most[name], np.where(np.isfinite(off), off, 0))
    yield from most.items()


def step(case: Case, way: Way) -> Iterator[tuple[str, Array]]:
    """Every quantity of a training step but the updated parameters, products having operands that way."""
    steps = Steps(case)
    x, y, rules, loss, parameters = steps.x, steps.y, steps.rules, steps.loss_rule, list(steps.parameters)

    def forward() -> Iterator[tuple[Array, Array]]:
        a = x
        for (W, b), rule in zip(parameters, rules, strict=True):
            z = way(a) @ way(W).T
            z = z if b is None else z + b
            a = rule.value(z)
            yield z, a

    layers = list(forward())
    outputs = [x, *(a for _, a in layers)]
    for n, (z, a) in enumerate(layers, start=1):
        yield f"z.{n}", z
        yield f"a.{n}", a
    yield "loss", loss.value(outputs[-1], y)
    da = loss.derivative(outputs[-1], y)
    rate = np.float64(case.learning_rate)
    for n in range(len(layers), 0, -1):
        W, b = parameters[n - 1]
        dz = da * rules[n - 1].slope(outputs[n])
        dW, db = way(dz).T @ way(outputs[n - 1]), dz.sum(axis=0)
        yield from ((f"da.{n}", da), (f"dz.{n}", dz), (f"dW.{n}", dW))
        if b is not None:
            yield f"db.{n}", db
        da = way(dz) @ way(W)
        parameters[n - 1] = W - rate * dW, None if b is None else b - rate * db
    yield "loss_new", loss.value(list(forward())[-1][1], y)

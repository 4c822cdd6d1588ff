"""A training step in float64 and no more: with operands, or results, as somebody has them."""

from collections.abc import Callable, Iterator

import numpy as np

from .networks.cases import Case
from .networks.dtypes import Array
from .steps import Steps

Way = Callable[[Array], Array]
"""Operands as a product sees them, in float64."""

Moved = Callable[[str, Array], Array]
"""A quantity, by its name, as the next operations find it."""


def step(
    case: Case, way: Way = lambda operand: operand, moved: Moved = lambda name, value: value
) -> Iterator[tuple[str, Array]]:
    """Every quantity, in data-flow order but for the updated parameters, which follow their gradients."""
    steps = Steps(case)
    rules, parameters = steps.rules, list(steps.parameters)

    def forward() -> Iterator[tuple[Array, Array]]:
        a = steps.x
        for n, ((W, b), rule) in enumerate(zip(parameters, rules, strict=True), start=1):
            z = way(a) @ way(W).T
            z = moved(f"z.{n}", z if b is None else z + b)
            a = moved(f"a.{n}", rule.value(z))
            yield z, a

    layers = list(forward())
    outputs = [steps.x, *(a for _, a in layers)]
    for n, (z, a) in enumerate(layers, start=1):
        yield f"z.{n}", z
        yield f"a.{n}", a
    yield "loss", moved("loss", np.asarray(steps.loss_rule.value(outputs[-1], steps.y)))
    rate = np.float64(case.learning_rate)
    da = moved(f"da.{len(layers)}", steps.loss_rule.derivative(outputs[-1], steps.y))
    for n in range(len(layers), 0, -1):
        W, b = parameters[n - 1]
        dz = moved(f"dz.{n}", da * rules[n - 1].slope(outputs[n]))
        dW = moved(f"dW.{n}", way(dz).T @ way(outputs[n - 1]))
        W_new = moved(f"W_new.{n}", W - rate * dW)
        yield from ((f"da.{n}", da), (f"dz.{n}", dz), (f"dW.{n}", dW), (f"W_new.{n}", W_new))
        parameters[n - 1] = W_new, None
        if b is not None:
            db = moved(f"db.{n}", dz.sum(axis=0))
            b_new = moved(f"b_new.{n}", b - rate * db)
            yield from ((f"db.{n}", db), (f"b_new.{n}", b_new))
            parameters[n - 1] = W_new, b_new
        if n > 1:
            da = moved(f"da.{n - 1}", way(dz) @ way(W))
    yield "loss_new", moved("loss_new", np.asarray(steps.loss_rule.value(list(forward())[-1][1], steps.y)))

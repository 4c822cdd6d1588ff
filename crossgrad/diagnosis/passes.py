"""Whole runs of the mathematics with one formula wrong: what the loss and gradients would be."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np

from ..arithmetic import Uncertain
from ..networks.batches import Batch
from ..networks.cases import Case
from ..networks.dtypes import Array
from ..steps import Steps
from .activations import OTHERS, SIGMOID_LIKE, clipped, sigmoid_derivative
from .formulas import FORMULAS, Formula
from .operands import CHANGES
from .precision import FACTORS, product_of, said
from .record import APPROXIMATE_ACTIVATION, CAUSES, INPUT_CHANGED, PERMUTATION, SAMPLE_DROPPED
from .site import Site, right_step

BOUNDS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 20)
"""Limits of z that a clipped sigmoid is tried with."""

DIVISORS = (256.0, 255.0, 2.0, 1 / 256, 1 / 255)


@dataclass(frozen=True)
class Hypothesis:
    """A run with wrong formulas for some quantities, or on another batch.

    Parameters
    ----------
    place
        The first quantity that it makes wrong.
    wrong
        By quantity: the formula in place of the right one.
    batch
        The data that it sees, if not the case's.
    """

    cause: str
    text: str
    place: str
    wrong: Mapping[str, Formula]
    batch: Batch | None = None
    value: float | None = None
    certainty: float = 1.0


def run(hypothesis: Hypothesis, steps: Steps, known: Mapping[str, Uncertain]) -> dict[str, Uncertain] | None:
    """The loss, dW and db, with rounding noise; None if a formula is not possible in its place.

    What lies before the fault is taken from `known`.
    """
    if hypothesis.batch is not None:
        steps, known = Steps(replace(steps.case, batch=hypothesis.batch)), {}
    flow = [q.name for q in steps.case.quantities if q.kind not in ("W_new", "b_new", "loss_new")]
    start = flow.index(hypothesis.place) if known else 0
    values = {name: known[name] for name in flow[:start]}
    for name in flow[start:]:
        site = Site.of(steps, name, values.__getitem__)
        formula = hypothesis.wrong.get(name)
        made = formula.predict(site) if formula else None
        if made is None and name == hypothesis.place and hypothesis.wrong:
            return None
        values[name] = right_step(site) if made is None else made
    return {name: t for name, t in values.items() if name.partition(".")[0] in ("loss", "dW", "db")}


def backward_hypotheses(layer: int) -> Iterator[Hypothesis]:
    """Faults that first show in the gradients of `layer`: there alone, or in the layers below as well."""
    for formula in sorted(FORMULAS, key=lambda formula: CAUSES.index(formula.cause)):
        if formula.kind not in ("da", "dz"):
            continue
        text = formula.text.format(n=layer, up=layer + 1, down=layer - 1)
        place = f"{formula.kind}.{layer}"
        below = {f"{formula.kind}.{n}": formula for n in range(1, layer + 1)}
        if layer > 1:
            yield Hypothesis(formula.cause, f"{place} {text}; so do the layers below", place, below)
        yield Hypothesis(formula.cause, f"{place} {text}", place, {place: formula})
    yield from _other_units(layer)


def forward_hypotheses(case: Case) -> Iterator[Hypothesis]:
    """Faults that make the loss wrong too."""
    yield from _other_targets(case)
    yield from _fewer_samples(case)
    yield from _narrow_products(case)
    yield from _scaled_inputs(case)
    for formula in FORMULAS:
        if formula.kind in ("z", "a"):
            yield from _in_one_layer_or_all(case, formula)
    yield from _other_functions(case)
    yield from _other_activations(case)
    yield from _changed_inputs(case)


def _in_one_layer_or_all(case: Case, formula: Formula) -> Iterator[Hypothesis]:
    depth, kind = len(case.network.layers), formula.kind
    for n in range(1, depth + 1):
        place = f"{kind}.{n}"
        yield Hypothesis(formula.cause, f"{place} {formula.text.format(n=n)}", place, {place: formula})
    if depth > 1:
        text = f"{kind}.1 {formula.text.format(n=1)}; the same in every layer"
        yield Hypothesis(
            formula.cause, text, f"{kind}.1", {f"{kind}.{n}": formula for n in range(1, depth + 1)}
        )


def _narrow_products(case: Case) -> Iterator[Hypothesis]:
    """The factors of every matrix product rounded to fewer bits, as TF32 does."""
    layers = range(1, len(case.network.layers) + 1)
    products = [f"{kind}.{n}" for kind in ("z", "dW") for n in layers] + [f"da.{n}" for n in layers[:-1]]
    for bits, narrow in FACTORS:
        if bits < case.format.precision:
            cause, text = said(case, bits, "every matrix product is one of factors rounded to")
            wrong = {
                name: Formula(name.partition(".")[0], cause, text, partial(product_of, narrow=narrow))
                for name in products
            }
            yield Hypothesis(cause, text, "z.1", wrong, None, float(bits))


def _other_units(layer: int) -> Iterator[Hypothesis]:
    """The derivative of a layer's output with its units in another order."""
    place = f"da.{layer}"
    for text, order in {
        "in reverse order": lambda array: array[:, ::-1],
        "moved on by 1": lambda array: np.roll(array, 1, axis=1),
        "moved back by 1": lambda array: np.roll(array, -1, axis=1),
    }.items():

        def predict(site: Site, order: Callable[[Array], Array] = order) -> Uncertain:
            right = right_step(site)
            return Uncertain(order(right.value), order(right.variance))

        formula = Formula("da", PERMUTATION, text, predict)
        yield Hypothesis(PERMUTATION, f"{place} has its units {text}", place, {place: formula})


def _other_targets(case: Case) -> Iterator[Hypothesis]:
    x, y = case.batch
    if len(y) > 1:
        for text, order in {
            "moved on by one sample": np.roll(y, 1, axis=0),
            "moved back by one sample": np.roll(y, -1, axis=0),
            "in reverse order": y[::-1],
        }.items():
            text = f"the targets y meet the wrong samples: {text}"
            yield Hypothesis(PERMUTATION, text, "loss", {}, Batch(x, order))


def _other_activations(case: Case) -> Iterator[Hypothesis]:
    functions: dict[str, tuple[Callable[[Array], Array], float | None]] = {
        f"sigmoid with z limited to {b}": (clipped(b), float(b)) for b in BOUNDS
    }
    functions |= {text: (function, None) for text, function in SIGMOID_LIKE.items()}
    sigmoids = [n for n, layer in enumerate(case.network.layers, start=1) if layer.activation == "sigmoid"]
    for text, (function, value) in functions.items():
        formula = Formula("a", APPROXIMATE_ACTIVATION, text, partial(_activated, function=function))
        wrong = {f"a.{n}": formula for n in sigmoids}
        if wrong:
            yield Hypothesis(
                APPROXIMATE_ACTIVATION, f"the activations are: {text}", next(iter(wrong)), wrong, None, value
            )


def _other_functions(case: Case) -> Iterator[Hypothesis]:
    """Layers that are given another activation, with its own derivative or still with the sigmoid's."""
    depth = len(case.network.layers)
    places = {"the last layer has": [depth], "every layer has": [*range(1, depth + 1)]}
    if depth > 1:
        places["the hidden layers have"] = [*range(1, depth)]
    for (name, (function, own)), (where, layers) in product(OTHERS.items(), places.items()):
        for whose, derivative in {"its own": own, "the sigmoid's": sigmoid_derivative}.items():
            wrong = {
                f"{kind}.{n}": Formula(kind, APPROXIMATE_ACTIVATION, name, predict)
                for n in layers
                for kind, predict in (
                    ("a", partial(_activated, function=function)),
                    ("dz", partial(_through, derivative=derivative)),
                )
            }
            text = f"{where} {name}, with {whose} derivative"
            yield Hypothesis(APPROXIMATE_ACTIVATION, text, f"a.{layers[0]}", wrong)


def _activated(site: Site, function: Callable[[Array], Array]) -> Uncertain:
    return Uncertain(function(site.here("z").value), right_step(site).variance)


def _through(site: Site, derivative: Callable[[Array], Array]) -> Uncertain:
    da, slope = site.here("da"), derivative(site.here("z").value)
    value = da.value * slope
    return Uncertain(value, np.square(slope) * da.variance + site.steps.arithmetic.rounding(value, 2))


def _fewer_samples(case: Case) -> Iterator[Hypothesis]:
    """A batch that is cut before the forward pass, and the loss with it."""
    x, y = case.batch
    if len(y) < 2:
        return
    for text, kept in {
        "the last sample is left out": slice(None, -1),
        "the first sample is left out": slice(1, None),
        "the first sample alone is used": slice(1),
        "the last sample alone is used": slice(-1, None),
    }.items():
        told = f"{text}, in the loss too"
        yield Hypothesis(SAMPLE_DROPPED, told, "z.1", {}, Batch(x[kept], y[kept]))


def _scaled_inputs(case: Case) -> Iterator[Hypothesis]:
    for divisor in DIVISORS:
        text = f"x is {1 / divisor:.5g} times what was given"
        batch = Batch(np.asarray(case.batch.x, np.float64) / divisor, case.batch.y)
        yield Hypothesis(INPUT_CHANGED, text, "z.1", {}, batch, 1 / divisor)


def _changed_inputs(case: Case) -> Iterator[Hypothesis]:
    for text, change in CHANGES.items():
        with np.errstate(all="ignore"):
            changed = change(np.asarray(case.batch.x, np.float64))
        if np.isfinite(changed).all():
            yield Hypothesis(INPUT_CHANGED, f"x is {text}", "z.1", {}, Batch(changed, case.batch.y))

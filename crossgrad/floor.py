r"""The rounding floor: how far correct arithmetic of a dtype may stray, for each element of each quantity.

First-order error propagation with random roundings, after the probabilistic
model of Higham and Mary (2019, A new approach to probabilistic rounding error
analysis): every rounding to unit roundoff u multiplies its result by 1 + d,
the d being independent, of mean zero and variance u**2 / 3 (uniform in
[-u, u]). Parker's Monte-Carlo arithmetic (1997) samples that model; here its
variances are propagated instead, alongside the float64 values, at the price of
one matrix product of squares for each product of values. There is no sampling
error, so no heavy tail from few samples on narrow networks.

For ``c = f(p, q)`` with independent errors, ``var(c) = f_p**2 var(p) + f_q**2
var(q) + local``, where `local` is what the operation itself rounds. Departures
from first order and from independence that matter:

- Through an activation the change ``f(z +- s) - f(z)`` is taken at the standard
  deviation s itself, so saturation and curvature are felt.
- Partial sums are rounded as large as they are in the order that terms have (``partial_sums.py``).
- Terms of a sum that are equal meet the same rounding error, each time: m of them count
  as m squared. Equal units of a layer make equal errors, which add up in the next.
- Samples that reach a layer with inputs equal to within an ulp or so make the
  same errors, which add up in a sum over the batch: their variances are weighted
  by the number of such samples (Cauchy-Schwarz).
- An error of an output comes back to its own derivative through the same
  weights, with one sign: the diagonal of the loss's Hessian carries it. What the rest
  of it carries where weights are alike is looked at when it matters (``coherent.py``).
- The updated parameters are the same for all samples: their part in loss_new
  is added up linearly.
- In TF32 a weight is rounded once for all samples: what that does is computed (``operands.py``).

``docs/verdict.md`` derives each formula and says where the model ends.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache

import numpy as np

from .arithmetic import Uncertain
from .computed import Computed
from .networks.cases import Case
from .networks.dtypes import Array
from .operands import off_by
from .steps import Steps

OPERANDS_OFF = 2.0
"""Standard deviations that a TF32 step is off which errs in the way of `operands` that does most."""


class Floor:
    """The quantities of a case in float64, with the standard deviation of their rounding errors.

    ``W_new`` and ``b_new`` are computed from the gradients where they are looked
    at: kept, they would be half of what there is to keep.
    """

    def __init__(self, steps: Steps, found: dict[str, Uncertain]) -> None:
        self._steps = steps
        self._found = {  # value and deviation, in the variance's place: twice as many arrays would be large
            name: (tensor.value, np.sqrt(tensor.variance, out=tensor.variance))
            for name, tensor in found.items()
        }

    # Made when asked for: kept, they would tie the arrays into a cycle that only the collector frees.
    @property
    def value(self) -> Mapping[str, Array]:
        """Every quantity in float64."""
        return _ByName(self, 0)

    @property
    def sigma(self) -> Mapping[str, Array]:
        """Standard deviation of every quantity's rounding errors."""
        return _ByName(self, 1)

    def expected(self, name: str) -> tuple[Array | Computed, Array | Computed]:
        """Value and standard deviation of a quantity; of an updated parameter, computed as they are read."""
        if name in self._found:
            return self._found[name]
        kind, _, number = name.partition("_new.")
        parameter = self._steps.case.parameters[int(number) - 1][kind == "b"]
        assert parameter is not None
        gradient, sigma = self._found[f"d{kind}.{number}"]

        @lru_cache(maxsize=1)  # the value and the deviation of a part are asked for one after the other
        def part(start: int, stop: int) -> Uncertain:
            there = Uncertain(gradient.ravel()[start:stop], sigma.ravel()[start:stop] ** 2)
            return self._steps.update(np.asarray(parameter.ravel()[start:stop], np.float64), there)

        return (
            Computed(parameter.shape, lambda start, stop: part(start, stop).value),
            Computed(parameter.shape, lambda start, stop: np.sqrt(part(start, stop).variance)),
        )


class _ByName(Mapping[str, Array]):
    """Whole arrays by the names of quantities, in data-flow order."""

    def __init__(self, floor: Floor, which: int) -> None:
        self._floor, self._which = floor, which

    def __getitem__(self, name: str) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(self._floor.expected(name)[self._which])

    def __iter__(self) -> Iterator[str]:
        return (quantity.name for quantity in self._floor._steps.case.quantities)

    def __len__(self) -> int:
        return len(self._floor._steps.case.quantities)


def rounding_floor(case: Case) -> Floor:
    """Run the case in float64 and follow the rounding errors of its dtype through every step."""
    steps = Steps(case)
    with np.errstate(over="ignore", invalid="ignore"):
        found = _propagate(steps)
        if case.dtype == "tf32":
            for name, off in off_by(case, found):
                value, variance = found[name]
                found[name] = Uncertain(value, np.asarray(variance + np.square(off / OPERANDS_OFF)))
        return Floor(steps, found)


def _propagate(steps: Steps) -> dict[str, Uncertain]:
    """Every quantity but the updated parameters."""
    found: dict[str, Uncertain] = {}
    a = Uncertain(steps.x, np.broadcast_to(0.0, steps.x.shape))
    outputs = [a]
    parameters = steps.case.parameters
    for n, ((W, b), rule) in enumerate(zip(parameters, steps.rules, strict=True), start=1):
        z = found[f"z.{n}"] = steps.affine(a, W, b)
        a = found[f"a.{n}"] = steps.activate(z, rule)
        outputs.append(a)
    found["loss"] = steps.loss(a)
    da = steps.loss_backward(a)
    alike = _alike(outputs[-2].value, steps.case)
    bend = np.broadcast_to(steps.slope, a.value.shape)
    for n in range(len(parameters), 0, -1):
        W, b = parameters[n - 1]
        found[f"da.{n}"] = da
        dz = found[f"dz.{n}"] = steps.through_activation(da, outputs[n], steps.rules[n - 1])
        # An error shared above reaches this layer too: inputs that merged once stay merged.
        found[f"dW.{n}"] = steps.weight_gradient(dz, outputs[n - 1], alike)
        if b is not None:
            found[f"db.{n}"] = steps.bias_gradient(dz, alike)
        if n > 1:
            bent = steps.curvature(da, outputs[n], steps.rules[n - 1], bend)
            da = steps.pull_back(dz, W)
            bend, returned = steps.returning(bent, W, outputs[n - 1])
            da = Uncertain(da.value, da.variance + returned)
    updated = (
        (
            steps.updated_rows(W, found[f"dW.{n}"]),
            None if b is None else steps.update(np.asarray(b, np.float64), found[f"db.{n}"]),
        )
        for n, (W, b) in enumerate(parameters, start=1)
    )
    found["loss_new"] = steps.loss_after(updated, found["loss"])
    return found


def _alike(rows: Array, case: Case) -> Array:
    """For each sample, how many make the same errors as it does in the layer above: ``(B, 1)``.

    Rows that are equal once they are rounded to the case's dtype do. Rows that
    differ by d ulp share an error's sign less and less: measured on networks
    whose samples converge, errors are correlated by 0.9 at d = 0.1, 0.6 at 0.4,
    0.4 at 2.5 and 0.2 at 17, which ``1 / (1 + d/0.4)`` bounds in the square.
    d is the median over units of a row's distance from the mean row.
    """
    stored = np.ascontiguousarray(rows.astype(case.format.storage))
    keys = stored.view(np.dtype((np.void, stored.dtype.itemsize * stored.shape[1]))).ravel()
    _, group, equal = np.unique(keys, return_inverse=True, return_counts=True)
    center = rows.mean(axis=0)
    distance = np.median(np.abs(rows - center) / case.format.ulp(center), axis=1)
    close = 1 + (len(rows) - 1) / (1 + distance / 0.4)
    alike: Array = np.maximum(equal[group], close)[:, None]
    return alike

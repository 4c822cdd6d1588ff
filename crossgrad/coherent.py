"""Rounding errors followed together: how much larger than the floor the noise is where they add up.

The floor takes the errors that reach an element for independent of each other. But what one number is off
by takes many ways: that of an output moves every z above, and comes back through all of them. Of weights
that are drawn at random these ways have either sign. Where neighbouring rows or columns of a weight matrix
are alike, sorted or smooth say, they have one, and a right engine errs by up to the root of their number
more.

So before a run is called wrong by little, the case is run in float64 with a random error after every
operation, as large as the operation itself rounds (Monte-Carlo arithmetic; Parker 1997), a few times.
"""

import numpy as np

from .arithmetic import Uncertain
from .floor import Floor, rounding_floor
from .networks.cases import Case
from .networks.dtypes import Array
from .steps import Steps

RUNS = 8

WHOLE = 8.0
"""Runs that what the whole tensor scatters by counts as, beside those of an element: few say little of it."""

SEEN = 2.0**-27
"""Unit roundoff whose errors are seen beside float64's own: smaller ones are made as large meanwhile."""


def excess(case: Case) -> dict[str, Array]:
    """How many times its floor the noise of each quantity's elements is: 1, or more."""
    floor, steps = rounding_floor(case), Steps(case)
    scale = max(1.0, SEEN / steps.arithmetic.stored)
    disturbed = _Disturbed(steps, np.random.default_rng(0), scale)
    squares = {name: np.zeros(value.shape) for name, value in floor.value.items()}
    with np.errstate(all="ignore"):
        for _ in range(RUNS):
            for name, value in disturbed.run().items():
                squares[name] += np.square((value - floor.value[name]) / scale)
        return {name: _beside(found, floor, name) for name, found in squares.items()}


def _beside(squares: Array, floor: Floor, name: str) -> Array:
    variance = np.square(floor.sigma[name])
    shares = np.divide(squares, RUNS * variance, out=np.ones_like(squares), where=variance > 0)
    shares = (RUNS * shares + WHOLE * np.mean(shares)) / (RUNS + WHOLE)
    found: Array = np.sqrt(np.maximum(shares, 1.0))
    return np.where(np.isfinite(found), found, 1.0)


class _Disturbed:
    """A step in which every operation errs at random; on samples that are equal, by the same.

    Parameters
    ----------
    scale
        How many times as much as it rounds.
    """

    def __init__(self, steps: Steps, draw: np.random.Generator, scale: float) -> None:
        self._steps, self._draw, self._scale = steps, draw, scale
        self._inputs, self._samples = _kinds(steps.x), _kinds(np.hstack([steps.x, steps.y]))

    def run(self) -> dict[str, Array]:
        """Every quantity."""
        found = self._forward()
        found |= self._backward(found)
        return {name: tensor.value for name, tensor in (found | self._update(found)).items()}

    def _moved(self, found: Uncertain, kinds: Array | None = None) -> Uncertain:
        """The result of an operation of exact tensors, off by what it rounds; taken for exact from now on.

        Parameters
        ----------
        kinds
            A number for each sample, the same for those that are equal.
        """
        error = self._draw.normal(size=found.value.shape)
        error = error if kinds is None else error[kinds]
        return _exact(np.asarray(found.value + self._scale * error * np.sqrt(found.variance)))

    def _forward(self) -> dict[str, Uncertain]:
        steps, found = self._steps, dict[str, Uncertain]()
        a = _exact(steps.x)
        for n, ((W, b), rule) in enumerate(zip(steps.case.parameters, steps.rules, strict=True), start=1):
            z = found[f"z.{n}"] = self._moved(steps.affine(a, W, b), self._inputs)
            a = found[f"a.{n}"] = self._moved(steps.activate(z, rule), self._inputs)
        found["loss"] = self._moved(steps.loss(a))
        return found

    def _backward(self, forward: dict[str, Uncertain]) -> dict[str, Uncertain]:
        steps, found = self._steps, dict[str, Uncertain]()
        alone = np.ones((steps.case.batch_size, 1))
        depth = len(steps.rules)
        da = self._moved(steps.loss_backward(forward[f"a.{depth}"]), self._samples)
        for n in range(depth, 0, -1):
            a, below = forward[f"a.{n}"], forward[f"a.{n - 1}"] if n > 1 else _exact(steps.x)
            W, b = steps.case.parameters[n - 1]
            found[f"da.{n}"] = da
            dz = found[f"dz.{n}"] = self._moved(
                steps.through_activation(da, a, steps.rules[n - 1]), self._samples
            )
            found[f"dW.{n}"] = self._moved(steps.weight_gradient(dz, below, alone))
            if b is not None:
                found[f"db.{n}"] = self._moved(steps.bias_gradient(dz, alone))
            if n > 1:
                da = self._moved(steps.pull_back(dz, W), self._samples)
        return found

    def _update(self, found: dict[str, Uncertain]) -> dict[str, Uncertain]:
        """The updated parameters, and the loss that they give."""
        steps, new, updated = self._steps, dict[str, Uncertain](), []
        for n, (W, b) in enumerate(steps.case.parameters, start=1):
            of_W = new[f"W_new.{n}"] = self._updated(W, found[f"dW.{n}"])
            of_b = None if b is None else self._updated(b, found[f"db.{n}"])
            if of_b is not None:
                new[f"b_new.{n}"] = of_b
            updated.append(([(slice(None), of_W)], of_b))
        return new | {"loss_new": self._moved(steps.loss_after(updated, found["loss"]))}

    def _updated(self, parameter: Array, gradient: Uncertain) -> Uncertain:
        return self._moved(self._steps.update(np.asarray(parameter, np.float64), gradient))


def _kinds(samples: Array) -> Array:
    """The first sample that is equal to each."""
    _, first, kind = np.unique(samples, axis=0, return_index=True, return_inverse=True)
    found: Array = first[kind.ravel()]
    return found


def _exact(value: Array) -> Uncertain:
    return Uncertain(value, np.broadcast_to(0.0, value.shape))

"""Rounding errors followed together: how much larger than the floor the noise is where they add up.

The floor takes the errors that reach an element for independent of each other. But what one number is off
by takes many ways: that of an output moves every z above, and comes back through all of them. Of weights
that are drawn at random these ways have either sign. Where neighbouring rows or columns of a weight matrix
are alike, sorted or smooth say, they have one: a right engine errs by up to the root of their number more.

So before a run is called wrong by little, errors are drawn after every operation, as large as the operation
itself rounds (Monte-Carlo arithmetic; Parker 1997), and followed to every quantity, a few times. They are
followed to first order, by derivatives: added to the numbers themselves they would be lost in float64's own
errors, and larger ones would bend where units are saturated.
"""

from collections.abc import Mapping
from math import prod

import numpy as np

from .floor import Floor
from .networks.cases import Case
from .networks.dtypes import Array
from .networks.spec import Network
from .place import replayed
from .steps import Steps

RUNS = 8

WHOLE = 8.0
"""Runs that what the whole tensor scatters by counts as, beside those of an element: few say little of it."""


def excess(case: Case, floor: Floor) -> dict[str, Array]:
    """How many times its floor the noise of each quantity's elements is: 1, or more."""
    right = dict(floor.value)
    with np.errstate(all="ignore"):
        errors = _Errors(case, right)
        squares = {name: np.zeros(value.shape) for name, value in right.items()}
        for _ in range(RUNS):
            for name, error in errors.followed().items():
                squares[name] += np.square(error)
        return {name: _beside(found, floor.sigma[name]) for name, found in squares.items()}


def needed_bytes(network: Network, batch_size: int) -> int:
    """Memory that `excess` takes at its peak: five arrays of each quantity's size, in float64."""
    return 5 * 8 * sum(prod(quantity.shape) for quantity in network.quantities(batch_size))


def _beside(squares: Array, sigma: Array) -> Array:
    variance = np.square(sigma)
    shares = np.divide(squares, RUNS * variance, out=np.ones_like(squares), where=variance > 0)
    shares = (RUNS * shares + WHOLE * np.mean(shares)) / (RUNS + WHOLE)
    found: Array = np.sqrt(np.maximum(shares, 1.0))
    return np.where(np.isfinite(found), found, 1.0)


class _Errors:
    """Errors of all operations of a step, on samples that are equal the same, and what they do to the rest.

    Parameters
    ----------
    right
        Every quantity in float64.
    """

    def __init__(self, case: Case, right: Mapping[str, Array]) -> None:
        self._steps, self._right, self._draw = Steps(case), right, np.random.default_rng(0)
        own = replayed(case, right, stored=False)
        self._sigma = {name: np.sqrt(found.variance) for name, found in own.items()}
        x, y = case.batch
        forward, backward = _kinds(x), _kinds(np.hstack([x, y]))
        self._kinds = {"z": forward, "a": forward, "da": backward, "dz": backward}
        depth = len(self._steps.rules)
        self._outputs = [self._steps.x, *(right[f"a.{n}"] for n in range(1, depth + 1))]
        self._updated = [(right[f"W_new.{n}"], right.get(f"b_new.{n}")) for n in range(1, depth + 1)]
        self._outputs_after = [self._steps.x]
        for (W, b), rule in zip(self._updated, self._steps.rules, strict=True):
            z = self._outputs_after[-1] @ W.T
            self._outputs_after.append(rule.value(z if b is None else z + b))

    def followed(self) -> dict[str, Array]:
        """What each quantity is off by, of errors that are drawn anew."""
        off = self._forward()
        off |= self._backward(off)
        for n, (_, b) in enumerate(self._updated, start=1):
            off[f"W_new.{n}"] = self._off_by_updating(f"W_new.{n}", off[f"dW.{n}"])
            if b is not None:
                off[f"b_new.{n}"] = self._off_by_updating(f"b_new.{n}", off[f"db.{n}"])
        return off | {"loss_new": self._after(off)}

    def _forward(self) -> dict[str, Array]:
        off, a = dict[str, Array](), np.zeros_like(self._steps.x)
        for n, ((W, _), rule) in enumerate(zip(self._steps.parameters, self._steps.rules, strict=True), 1):
            z = off[f"z.{n}"] = a @ W.T + self._own(f"z.{n}")
            a = off[f"a.{n}"] = rule.slope(self._outputs[n]) * z + self._own(f"a.{n}")
        return off | {"loss": self._of_loss("loss", self._outputs[-1], a)}

    def _backward(self, forward: Mapping[str, Array]) -> dict[str, Array]:
        steps, right, off = self._steps, self._right, dict[str, Array]()
        depth = len(steps.rules)
        da = steps.slope * forward[f"a.{depth}"] + self._own(f"da.{depth}")
        for n in range(depth, 0, -1):
            (W, b), rule, a = steps.parameters[n - 1], steps.rules[n - 1], self._outputs[n]
            bent = right[f"da.{n}"] * steps.bend(rule, a) * forward[f"a.{n}"]
            dz = rule.slope(a) * da + bent + self._own(f"dz.{n}")
            dW = dz.T @ self._outputs[n - 1] + self._own(f"dW.{n}")
            off |= {f"da.{n}": da, f"dz.{n}": dz, f"dW.{n}": dW}
            if b is not None:
                off[f"db.{n}"] = dz.sum(axis=0) + self._own(f"db.{n}")
            if n > 1:
                dW += right[f"dz.{n}"].T @ forward[f"a.{n - 1}"]
                da = dz @ W + self._own(f"da.{n - 1}")
        return off

    def _after(self, off: Mapping[str, Array]) -> Array:
        """What the loss with updated parameters is off by: by their errors, and by those of its own pass."""
        a = np.zeros_like(self._steps.x)
        for n, ((W, b), rule) in enumerate(zip(self._updated, self._steps.rules, strict=True), 1):
            z = a @ W.T + self._outputs_after[n - 1] @ off[f"W_new.{n}"].T + self._own(f"z.{n}")
            z = z if b is None else z + off[f"b_new.{n}"]
            a = rule.slope(self._outputs_after[n]) * z + self._own(f"a.{n}")
        return self._of_loss("loss_new", self._outputs_after[-1], a)

    def _of_loss(self, name: str, output: Array, off: Array) -> Array:
        da = self._steps.loss_rule.derivative(output, self._steps.y)
        return np.asarray(np.sum(da * off) + self._own(name))

    def _off_by_updating(self, name: str, gradient: Array) -> Array:
        return self._own(name) - np.float64(self._steps.case.learning_rate) * gradient

    def _own(self, name: str) -> Array:
        """What a quantity's operation alone is off by."""
        sigma = self._sigma[name]
        error = self._draw.normal(size=sigma.shape)
        kinds = self._kinds.get(name.partition(".")[0])
        found: Array = sigma * (error if kinds is None else error[kinds])
        return found


def _kinds(samples: Array) -> Array:
    """For each sample the first that is equal to it."""
    _, first, kind = np.unique(samples, axis=0, return_index=True, return_inverse=True)
    found: Array = first[kind.ravel()]
    return found

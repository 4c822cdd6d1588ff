r"""A training step in numbers of twice float64's length, with a running estimate of every error.

The wide reference judges float64 where ball arithmetic would cost too much. It
proves nothing: errors are estimated to first order while the values are
computed (running error analysis: Higham 2002, Accuracy and Stability, 3.3).

Derivation
----------
For one sample a layer maps a vector p to ``z = W p + b`` and ``a = f(z)``. By
the chain rule the gradient of the loss L by what enters a map is the map's
transposed Jacobian times the gradient by what leaves it. The Jacobian of f is
diagonal with f'(z) in it, that of p -> z is W, and z depends on each row of W
through p and on b through 1. Hence for one sample

    dL/dz = f'(z) * dL/da,    dL/dp = W' dL/dz,    dL/dW = dL/dz p',    dL/db = dL/dz

and, the loss being a sum over samples, the last two are summed over the batch.

W is worked on in blocks of output units: a block's temporaries fit into the
cache, and nothing else as large as W is in memory but the results.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...networks.cases import Case
from ...networks.dtypes import Array
from ..base import require_rules
from .activations import ACTIVATIONS, Activated
from .losses import LOSSES
from .pairs import DOUBLE, LONG, ROUNDING, Estimated, OutOfRange, Pair, require_long_double, require_range
from .results import Wide
from .splitting import ORDERS, UPSTREAM_ORDERS, Factor, product

Kind = np.dtype[Any]

BLOCK = 1 << 16
"""Elements of W that are worked on at a time."""

LARGEST_SPLIT = 2.0**900


def wide_trace(case: Case) -> dict[str, Wide]:
    """Every quantity of `case` with an estimate of its error, by name, in data-flow order.

    Raises
    ------
    Unsupported
        If a rule is missing, or the case has numbers so small or large that they
        need long doubles and this machine's are no wider than doubles.
    """
    require_rules("the wide reference", case.network, case.loss, ACTIVATIONS, LOSSES)
    with np.errstate(over="ignore", under="ignore"):
        try:
            return _Step(case, DOUBLE).found
        except OutOfRange:
            require_long_double()
            return _Step(case, LONG).found


@dataclass(frozen=True)
class _Layer:
    """Weights ``(O, I)`` of some kind, handed out by rows, and the bias if there is one."""

    kind: Kind
    orders: int
    shape: tuple[int, int]
    weights: Callable[[slice], Factor]
    bias: Estimated | None

    def z(self, inputs: Factor) -> Estimated:
        """``inputs @ W.T + b``, ``(B, O)``."""
        z = Estimated.side_by_side(
            [
                product(inputs, self.weights(rows), self.orders).unscaled(self.kind)
                for rows in _blocks(*self.shape)
            ]
        )
        return z if self.bias is None else _sum(z, self.bias)


class _Step:
    """The quantities of one step, computed in making it."""

    found: dict[str, Wide]

    def __init__(self, case: Case, kind: Kind) -> None:
        self._kind = kind
        self._rules = [ACTIVATIONS[layer.activation] for layer in case.network.layers]
        self._loss = LOSSES[case.loss]
        self._rate = case.learning_rate
        self._x, self._y = (np.asarray(values, np.float64) for values in case.batch)
        self._W = [np.asarray(W, np.float64) for W, _ in case.parameters]
        self._b = [None if b is None else np.asarray(b, np.float64) for _, b in case.parameters]
        self._a: list[Estimated] = []
        self._slopes: list[Estimated] = []
        self.found = {q.name: Wide.empty(q.shape) for q in case.quantities}
        da = self._forward()
        for n in reversed(range(len(self._W))):
            da = self._backward(n, da)
        self._forward_after_update()

    def _forward(self) -> Estimated:
        """Find z and a of every layer and the loss; returns da of the last layer."""
        inputs = self._factor(self._x)
        for n, rule in enumerate(self._rules):
            z = self._layer(n).z(inputs)
            output = rule(z)
            inputs = Factor.of(output.a)
            self._a.append(output.a)
            self._slopes.append(output.slope)
            self._keep("z", n, z)
            self._keep("a", n, output.a)
        d = self._distance(output)
        self.found["loss"].fill(..., self._loss.value(d))
        return self._loss.derivative(d)

    def _backward(self, n: int, da: Estimated) -> Estimated:
        """Find what belongs to layer n, counted from 0; returns da of the layer below."""
        require_range(da.values.high)
        dz = _times(da, self._slopes[n])
        require_range(dz.values.high)
        self._keep("da", n, da)
        self._keep("dz", n, dz)
        bias = self._b[n]
        if bias is not None:
            db = Estimated(dz.values.sum(), dz.error.sum(axis=0) + ROUNDING * dz.size.sum(axis=0))
            self._keep("db", n, db)
            self._keep("b_new", n, self._updated(bias, db))
        # The right factors of all blocks are the same; their slices are cut once.
        inputs = Factor.of(self._a[n - 1].T) if n else self._factor(self._x.T)
        W = self._W[n]
        for rows in _blocks(*W.shape):
            dW = product(Factor.of(dz[:, rows].T), inputs).unscaled(DOUBLE)
            self._keep("dW", n, dW, rows)
            self._keep("W_new", n, self._updated(W[rows], dW), rows)
        if not n:
            return dz
        upstream = Factor.of(dz)
        return Estimated.side_by_side(
            [
                product(upstream, self._factor(W[:, columns].T), UPSTREAM_ORDERS).unscaled(self._kind)
                for columns in _blocks(*W.T.shape)
            ]
        )

    def _forward_after_update(self) -> None:
        inputs = self._factor(self._x)
        for n, rule in enumerate(self._rules):
            output = rule(self._layer(n, updated=True).z(inputs))
            inputs = Factor.of(output.a)
        self.found["loss_new"].fill(..., self._loss.value(self._distance(output)))

    def _factor(self, values: Array) -> Factor:
        return Factor(self._kind, values)

    def _layer(self, n: int, updated: bool = False) -> _Layer:
        W, b = self._W[n], self._b[n]
        if not updated:
            bias = None if b is None else Estimated(Pair.exactly(b, self._kind), np.zeros(b.shape))
            return _Layer(self._kind, UPSTREAM_ORDERS, W.shape, lambda rows: self._factor(W[rows]), bias)
        W_new, b_new = self.found[f"W_new.{n + 1}"], self.found.get(f"b_new.{n + 1}")
        return _Layer(
            self._kind,
            ORDERS,
            W.shape,
            lambda rows: Factor(self._kind, W_new.value[rows], W_new.low[rows], W_new.error[rows]),
            None if b_new is None else b_new.estimated(self._kind),
        )

    def _updated(self, parameter: Array, gradient: Estimated) -> Estimated:
        """One step against the gradient; pairs of doubles stay doubles if splitting cannot overflow."""
        kind = gradient.values.kind if gradient.size.max() < LARGEST_SPLIT else LONG
        slope = Pair(gradient.values.high.astype(kind), gradient.values.low.astype(kind))
        new = Pair.exactly(parameter, kind) - Pair.exactly(self._rate, kind) * slope
        inherited = abs(self._rate) * gradient.error
        return Estimated(new, inherited + ROUNDING * (np.abs(parameter) + np.abs(new.high)))

    def _distance(self, output: Activated) -> Estimated:
        """``a - y``; where y is what the function tends to, all digits of the rest remain."""
        rest = output.rest
        d = (output.near - Pair.exactly(self._y, self._kind)) + rest.values
        return Estimated(d, rest.error + ROUNDING * np.abs(d.high))

    def _keep(self, kind: str, n: int, found: Estimated, rows: Any = ...) -> None:
        self.found[f"{kind}.{n + 1}"].fill(rows, found)


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    """Rows of a matrix in blocks of about `BLOCK` elements."""
    height = max(1, BLOCK // columns)
    return (slice(start, min(start + height, rows)) for start in range(0, rows, height))


def _sum(x: Estimated, y: Estimated) -> Estimated:
    return Estimated(x.values + y.values, x.error + y.error + ROUNDING * (x.size + y.size))


def _times(x: Estimated, y: Estimated) -> Estimated:
    found = x.values * y.values
    inherited = x.size * y.error + y.size * x.error
    return Estimated(found, inherited + ROUNDING * np.abs(found.high))

r"""Backprop derived by hand, into arrays that are prepared once.

For one layer, with the chain rule and the letters of ``networks/spec.py``:

    z[s,o]  = sum_i a_prev[s,i] W[o,i] + b[o]        a[s,o] = f(z[s,o])

    dz[s,o] = da[s,o] f'(z[s,o])                     f is elementwise
    dW[o,i] = sum_s dz[s,o] dz/dW = sum_s dz[s,o] a_prev[s,i]    dW = dz.T @ a_prev
    db[o]   = sum_s dz[s,o]                          z[s,o] holds b[o] once a sample
    da_prev[s,i] = sum_o dz[s,o] W[o,i]              da_prev = dz @ W

The loss gives da of the last layer; each layer hands da_prev to the one below.

Memory: -z becomes a where it stands, da becomes dz, and a is used up by that,
because dW and da_prev of the layer above have been taken by then. So a step
needs one array for each layer's a, and two that all layers share: one for
the layer's own da, one for da_prev. Arrays of one element are the exception:
NumPy takes 0.8 us for a ufunc from such an array to itself, and 0.4 with a new one for
the result.

Tried and left out, at 1024-1024-1024-1024 and batch 512 on two cores: elementwise work
in blocks of rows that fit into a core's cache, and halves of it on a second thread. Neither
was faster than whole arrays: they are still in the shared cache, and the second core
is where BLAS's own thread waits for its next product. Halves of the batch on two threads of
Python's, products and all, each with a BLAS of one thread, saved some of float64's time there
(on a Zen 3, where NumPy has no vectors for its exponential), nearly nothing of float32's, and
lost at half the width: threads that sleep take long to meet. At 784-100-10 and batch 1024,
scratch space for dz that is not a, which BLAS's thread has read into the other core's cache:
what this pass won, others lost.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ...networks.dtypes import Array
from .activations import ActivationRule
from .losses import LossRule
from .memory import Order, copy, empty
from .multiply import Layout, Product, product_into
from .scalars import without_warnings

Store = Callable[[str, int, Array], None]
"""Called with the kind, the layer and the array of each quantity as soon as it is there."""


class Dense(NamedTuple):
    """Parameters of a layer, with what products and sums take of them."""

    W: Array
    W_T: Array
    b: Array | None
    minus_b: Array | None
    """-b as it is subtracted from what `_together` makes of a layer's rows."""

    @classmethod
    def of(cls, W: Array, b: Array | None, batch: int, samples: Order) -> "Dense":
        """`samples` as `Layout` has it."""
        if b is None:
            return cls(W, W.T, None, None)
        repeated = _repeated(-b, batch, samples)
        repeated.setflags(write=False)
        return cls(W, W.T, b, repeated)


def _repeated(minus_b: Array, batch: int, samples: Order) -> Array:
    """``(1, rows * O)`` of as many rows as `_rows_together` says, or ``(B, O)`` where they are transposed."""
    if samples == "F":
        return copy(np.broadcast_to(minus_b, (batch, len(minus_b))), minus_b.dtype, "F")
    return np.tile(minus_b, (1, _rows_together(batch, len(minus_b))))


def _together(rows: Array, samples: Order) -> Array:
    """A view of a layer's rows ``(B, O)``, in rows as long as the repeated bias."""
    if samples == "F":
        return rows
    return rows.reshape(len(rows) // _rows_together(*rows.shape), -1)


def _rows_together(batch: int, outputs: int) -> int:
    """From how many rows of ``(B, O)`` the bias is taken at a time: a divisor of B.

    A ufunc copies an operand that it must repeat along shorter rows than its
    buffer of 8192 elements, which takes as long as the difference. Where B has no divisor
    that makes rows of a moderate length, they stay as they are.
    """
    fitting = (n for n in range(1, batch + 1) if batch % n == 0 and (n * outputs >= 8192 or n == batch))
    rows = next(fitting)
    return rows if rows * outputs <= 8 * 8192 else 1


class _Target(NamedTuple):
    """An array for a layer's rows, as products and as elementwise functions take it."""

    multiply: Product
    product: Array
    out: Array | None
    """The same array, or None where a new one is faster."""

    together: Array

    @classmethod
    def of(cls, array: Array, terms: int, samples: Order) -> "_Target":
        """`terms` as `product_into` takes them, of the product that has the fewest."""
        out = array if array.size > 1 else None
        return cls(product_into(array, terms), array, out, _together(array, samples))


class Workspace:
    """The arrays of one step, and the step.

    Everything that depends on shapes alone is here, prepared; nothing that
    depends on a case's numbers is, but what the last step left.

    Attributes
    ----------
    dW, db
        The gradients that the last step found, an entry a layer.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, int]],
        biases: Sequence[bool],
        rules: Sequence[ActivationRule],
        loss: LossRule,
        batch: int,
        dtype: Any,
        layout: Layout,
    ) -> None:
        samples = layout.samples
        self._transposed = samples == "F"
        self._kernels = [rule.kernel(dtype) for rule in rules]
        self._loss = loss.kernel((batch, shapes[-1][0]), dtype)
        self._ones = np.ones(batch, dtype)
        shared = [empty(batch * max(o for o, _ in shapes), dtype) for _ in range(2)]
        rows = [(batch, o) for o, _ in shapes]
        da = [shared[n % 2][: batch * o].reshape((batch, o), order=samples) for n, (_, o) in enumerate(rows)]
        self._spare = shared[len(rows) % 2][: da[-1].size].reshape(da[-1].shape, order=samples)
        inputs = [i for _, i in shapes]
        above = [*(o for o, _ in shapes[1:]), shapes[-1][1]]
        kept = [empty(shape, dtype, samples) for shape in rows]
        target = partial(_Target.of, samples=samples)
        self._kept = list(map(target, kept, inputs))
        self._passing = list(map(target, da, map(min, inputs, above)))
        self._overflow_raises = without_warnings(overflow="raise")
        self.dW = [empty(shape, dtype, order) for shape, order in zip(shapes, layout.weights, strict=True)]
        self._multiply = [product_into(dW, batch) for dW in self.dW]
        self.db = [empty(o, dtype) if biased else None for (o, _), biased in zip(shapes, biases, strict=True)]

    def step(self, parameters: Sequence[Dense], x: Array, y: Array, store: Store | None) -> Any:
        """The loss; the gradients are in `dW` and `db` then."""
        a = self._forward(parameters, x, self._kept, store)
        r = np.subtract(a[-1], y, self._passing[-1].out)
        loss = self._loss_of(r)
        self._backward(parameters, a, self._loss.backward(r, self._passing[-1].out), store)
        return loss

    def loss(self, parameters: Sequence[Dense], x: Array, y: Array, store: Store | None) -> Any:
        """The loss alone; the two shared arrays hold all activations in turn."""
        a = self._forward(parameters, x, self._passing, store)
        r = np.subtract(a[-1], y, self._spare)
        return self._loss_of(r)

    def _loss_of(self, r: Array) -> Any:
        """Its terms are squares of elements, which may come in any order: in that of the memory."""
        return self._loss.value(r.T if self._transposed else r)

    def _forward(
        self, parameters: Sequence[Dense], x: Array, targets: Sequence[_Target], store: Store | None
    ) -> list[Array]:
        """x, and each layer's output."""
        a = [x]
        for p, kernel, target in zip(parameters, self._kernels, targets, strict=True):
            minus_z = _minus_z(a, p, target, store)
            try:
                a.append(self._overflow_raises(kernel.from_minus_z, minus_z, target.out))
            except FloatingPointError:  # perhaps after -z was written over
                a.append(kernel.forward(-_minus_z(a, p, target, store)))
            if store:
                store("a", len(a) - 1, a[-1])
        return a

    def _backward(self, parameters: Sequence[Dense], a: list[Array], da: Array, store: Store | None) -> None:
        """Gradients of all layers, from the last one's da; the outputs in `a` are used up."""
        for n in range(len(parameters) - 1, -1, -1):
            dW, db = self.dW[n], self.db[n]
            if store:
                store("da", n + 1, da)
            dz = self._kernels[n].backward(da, a[n + 1], self._passing[n].out, self._kept[n].out)
            if store:
                store("dz", n + 1, dz)
            self._multiply[n](dz.T, a[n], dW)
            if store:
                store("dW", n + 1, dW)
            if db is not None:
                np.dot(self._ones, dz, db)
                if store:
                    store("db", n + 1, db)
            if n:
                below = self._passing[n - 1]
                da = below.multiply(dz, parameters[n].W, below.product)


def _minus_z(a: Sequence[Array], p: Dense, target: _Target, store: Store | None) -> Array:
    """``-z = -b - a_prev @ W.T``, as exact as z, for a's last entry: the sigmoid wants -z."""
    multiply, product, _, together = target
    minus_z, minus_b = multiply(a[-1], p.W_T, product), p.minus_b
    if minus_b is None:
        np.negative(minus_z, minus_z)
    else:
        np.subtract(minus_b, together, together)
    if store:
        z = -minus_z
        store("z", len(a), z)
        np.negative(z, minus_z)
    return minus_z

"""One layer as matrices of balls: weights in blocks of rows, samples as rows, ones for the bias."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from flint import arb, arb_mat

from ...networks.dtypes import Array
from .activations import ACTIVATIONS

BLOCK = 1 << 17
"""Elements of M that are balls at the same time: more would cost memory and save nothing."""

BLOCKED = 64
"""Rows and columns from which on FLINT surely multiplies through integer matrices."""

WORTH_PADDING = 20
"""Batches from here to 64 are filled up with zeros: that takes 0.5 s for 64 x 1024 times 1024 x 1024,
where 32 rows by the plain method take 1.0 s (FLINT 3.6)."""


class Layer:
    """A layer of a case, ``z = A M'`` with ``A = [a_prev, 1]`` and ``M = [W, b]``.

    Object arrays ``(B, n)`` hold one ball an element; matrices have `height`
    rows, of which those after the first B are zero.
    """

    inputs: arb_mat
    """A, ``(height, I + 1)``; without the last column in a layer without bias."""

    slope: Array
    """f'(z), ``(B, O)``."""

    dz: Array
    """``(B, O)``."""

    def __init__(self, W: Array, b: Array | None, samples: int, activation: str) -> None:
        self.W, self.b = W, b
        self.outputs, self.width = W.shape
        self.columns = self.width + (b is not None)
        self.samples = samples
        self.height = padded_rows(samples, W.shape)
        self._point: Any = np.frompyfunc(ACTIVATIONS[activation], 1, 3)

    def activate(self, z: Array) -> tuple[Array, Array, Array]:
        """`near`, `rest` and slope of each element: see ``activations.py``."""
        near, rest, slope = self._point(z)
        return near, rest, slope

    def blocks(self) -> Iterator[tuple[slice, arb_mat]]:
        """M in blocks of rows, exactly: which rows, and their matrix."""
        height = max(1, BLOCK // self.columns)
        for start in range(0, self.outputs, height):
            rows = slice(start, min(start + height, self.outputs))
            block = self.W[rows] if self.b is None else np.column_stack([self.W[rows], self.b[rows]])
            yield rows, arb_mat(len(block), self.columns, block.reshape(-1).tolist())

    def matrix(self, values: Array) -> arb_mat:
        """A matrix of `height` rows from an object array ``(B, n)``."""
        listed: list[Any] = values.reshape(-1).tolist()
        width = values.shape[1]
        return arb_mat(self.height, width, listed + [0] * ((self.height - self.samples) * width))

    def with_ones(self, a: Array) -> arb_mat:
        """``[a, 1]`` as a matrix; a alone in a layer without bias."""
        ones = np.full((self.samples, self.columns - self.width), arb(1), object)
        return self.matrix(np.concatenate([a, ones], axis=1))

    def table(self, matrix: arb_mat) -> Array:
        """The rows that belong to samples as an object array ``(B, n)``."""
        return table(matrix)[: self.samples]

    def product(self, inputs: arb_mat) -> Array:
        """``inputs M'`` as an object array ``(B, O)``."""
        z = np.empty((self.samples, self.outputs), object)
        for rows, M in self.blocks():
            z[:, rows] = self.table(inputs * M.transpose())
        return z

    def moved(self, inputs: arb_mat) -> Array:
        """``inputs A' dz`` as an object array ``(B, O)``, associated in the cheaper way.

        ``(inputs A') dz`` takes B**2 (I + O) multiplications, ``inputs (A' dz)`` 2 B I O.
        """
        A, dz = self.inputs.transpose(), self.matrix(self.dz)
        if self.samples * (self.width + self.outputs) <= 2 * self.width * self.outputs:
            return self.table((inputs * A) * dz)
        return self.table(inputs * (A * dz))


def padded_rows(samples: int, shape: tuple[int, ...]) -> int:
    """How many rows the matrices of a layer with W of this shape have."""
    worth_it = WORTH_PADDING <= samples < BLOCKED <= min(shape)
    return BLOCKED if worth_it else samples


def table(matrix: arb_mat) -> Array:
    """Every element of a matrix, as an object array."""
    return np.array(matrix.entries(), object).reshape(matrix.nrows(), matrix.ncols())


def balls(values: Array) -> Array:
    """An object array of exact balls from an array of float64."""
    return np.asarray(np.frompyfunc(arb, 1, 1)(values), object)

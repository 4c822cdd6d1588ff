"""Random rounding: results in float64, each with an error such as rounding to a narrower format makes.

This is Monte-Carlo arithmetic (Parker 1997) at the operations that a framework
shows: what the errors of the final result scatter by is the rounding noise of
correct arithmetic in that format, without knowing what is computed.

One thing is not left to chance. Rounding is a function: samples that are alike
are rounded alike, and their errors add up instead of cancelling. So an error
is drawn for each number of the narrow format, by a hash of it, and not for each
element.

Nor are constants of the code, which are rounded the same way wherever they occur, and what a
loop of Python does again in each turn (``turns.py``).
"""

import math
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np

from ..networks.dtypes import Array, DType
from .turns import Loops

UNIFORM = 12**-0.5
"""Standard deviation of what is uniform over a length of 1."""

BLOCK = 1 << 13
"""Numbers rounded at a time: what is made of them on the way stays in the cache."""

STEP = 2.0**-8
"""Halves and quarters of integers are exact too."""

SAMPLED = 8
"""Numbers of an array that are looked at first; nearly always that is enough."""

LARGEST = float(np.finfo(np.float64).max)
HUGE = LARGEST / 2
"""From which rounding may take a number beyond the largest one."""

INPUT_BLOCK = 1 << 14
"""As `BLOCK`, for inputs, of which less is made; larger arrays would be new pages of memory each time."""


Squares = Callable[[], Array | None]
"""What `of_result` takes: computed where it is needed; None where it is not known."""


class TooMany(RuntimeError):
    """A function goes on and on, as what iterates until it stands still does where errors are large."""


class Rounding:
    """Rounds to a format at random; each operation, and each seed, in another way.

    Parameters
    ----------
    dtype
        The format.
    seed
        Another one for each rerun.

    Attributes
    ----------
    most
        Operations from which on `TooMany` is raised.
    """

    most = math.inf

    def __init__(self, dtype: DType, seed: int) -> None:
        self._dtype, self._seed, self._operations = dtype, seed, 0
        self._loops = Loops()
        self._constants: dict[float, float] = {}

    def again(self) -> "Rounding":
        """The same from its beginning."""
        return Rounding(self._dtype, self._seed)

    @property
    def dtype(self) -> DType:
        return self._dtype

    def salt(self) -> np.uint64:
        """What the errors of the next operation are drawn from: for operations that consist of others."""
        self._count()
        return self._salt(self._operations)

    def of_input(self, array: Array, products: Array | None = None) -> Array:
        """Each element with a relative error of at most one unit roundoff, as rounding once would make.

        Parameters
        ----------
        products
            What `hash_products` makes of the array, where it is rounded more than once.
        """
        numbers, moved = array.ravel(), np.empty(array.size)
        if products is None:
            products = hash_products(numbers, self._dtype)
        scale = 2.0**-31 * self._dtype.unit_roundoff
        for start in range(0, numbers.size, INPUT_BLOCK):
            block = slice(start, start + INPUT_BLOCK)
            part = moved[block]
            part[...] = _finished(products[block] + self._salt(0))
            part *= scale
            part += 1
            part *= numbers[block]
        return moved.reshape(array.shape)

    def of_constant(self, value: float) -> float:
        """As `of_constants`."""
        if value not in self._constants:
            self._constants[value] = float(self.of_constants(np.asarray(value)))
        return self._constants[value]

    @np.errstate(all="ignore")
    def of_constants(self, array: Array) -> Array:
        """Numbers that the code itself has, as inputs, but for those that the format holds: a half is a half.

        Wherever a number occurs, and in each turn of a loop, its error is the same.
        """
        kept = array.astype(self._dtype.storage).astype(np.float64) == array
        return array if kept.all() else np.where(kept, array, _finite(self.of_input(array), array))

    @np.errstate(all="ignore")
    def of_result(
        self, array: Array, terms: float, site: Hashable = None, squares: Squares | None = None
    ) -> Array:
        """The result of an operation that adds up so many terms for each element, and rounds.

        Where terms cancel, partial sums were larger than the sum: about as large as the root of the sum
        of the terms' squares.

        Parameters
        ----------
        site
            The place of the operation in the code, if it is known: results of one place that are alike are
            those of a loop's turns.
        squares
            Gives the sum of the squares of each element's terms. Where it is not known, it is taken to be as
            large as the elements beside it in its row, squared, are on average.
        """
        self._count()
        if not array.size:
            return array
        rows = array.reshape(-1, array.shape[-1] if array.ndim else 1)
        walked = None if squares is None or terms == 1 else squares()
        if walked is not None:
            walked = np.broadcast_to(walked, array.shape).reshape(rows.shape)
        moved, count = np.empty(rows.shape), max(1, BLOCK // rows.shape[1])
        turns = None if site is None else self._loops.turns(site, rows, self._lasting)
        for start in range(0, len(rows), count):
            block = slice(start, start + count)
            part = rows[block]
            draw = self._draw(part, self._operations)
            if turns is not None:
                turns.keep(draw, part, block)
            moved[block] = self._of_rows(part, draw, terms, None if walked is None else walked[block])
        return moved.reshape(array.shape)

    def of_quotient(self, array: Array, site: Hashable = None) -> Array:
        """As `of_result`, of quotients that are integers: up to 2**precision these are exact."""
        return np.where(np.abs(array) <= 2.0**self._dtype.precision, array, self.of_result(array, 1.0, site))

    @np.errstate(all="ignore")
    def errors(self, array: Array) -> Array:
        """What rounding numbers once moves them by, in more digits than a sum with them would keep."""
        self._count()
        errors = self._draw(array, self._operations) * array
        errors *= math.sqrt(3) * self._dtype.unit_roundoff * spread(1)
        return np.where(np.isfinite(errors), errors, 0.0)

    def draw_of_matrix(self, array: Array, part: int = 0) -> Array:
        """Uniform, of a variance of one, a function of the place in a matrix and of the matrix as a whole.

        As rounding is a function, matrices that are alike are drawn alike, but not numbers in one that are.
        """
        matrices = array.reshape(-1, array.shape[-2] * array.shape[-1])
        places = np.arange(2 * part, matrices.shape[1] + 2 * part, dtype=np.uint64)
        places *= np.uint64(0x9E3779B97F4A7C15)
        places += self._salt(part)
        odd = places | np.uint64(1)
        drawn = np.empty(matrices.shape)
        for numbers, row in zip(matrices, drawn, strict=True):
            parts = (numbers.real, numbers.imag) if np.iscomplexobj(numbers) else (numbers,)
            whole = [np.sum(hash_products(p, self._dtype) * odd) for p in parts]
            row[...] = _finished((places + whole[0] + whole[-1] * np.uint64(part)) * odd)
        drawn *= math.sqrt(3) * 2.0**-31
        return drawn.reshape(array.shape)

    def _count(self) -> None:
        self._operations += 1
        if self._operations > self.most:
            raise TooMany(f"more than {self.most:,} operations")

    def _lasting(self) -> float:
        """What the errors of an operation have in common from turn to turn, if a loop does it again."""
        return float(self._draw(np.zeros(1), self._operations)[0])

    def _of_rows(self, array: Array, draw: Array, terms: float, squares: Array | None) -> Array:
        size = np.abs(array)
        size[~np.isfinite(size)] = 0.0  # masks are infinite
        draw *= math.sqrt(3)
        if terms > 1:
            own = np.square(size)
            squares = np.mean(own, axis=-1, keepdims=True) if squares is None else squares
            partial = np.sqrt(own + np.where(squares > 0, np.minimum(squares, HUGE), 0.0))
            # To nothing at all only zeros add up: other terms have errors, which do not cancel.
            size = np.maximum(size, np.where(size > 0, partial, 0.0))
        sigma = np.maximum(self._dtype.unit_roundoff * spread(terms) * size, underflow(size, self._dtype))
        with np.errstate(over="ignore", under="ignore"):
            draw *= sigma
            draw += array
            if size.max(initial=0.0) > HUGE:
                draw = _finite(draw, array)
            return np.copysign(draw, array, out=draw) if terms == 1 else draw  # flushed to zero at most

    def _draw(self, array: Array, operation: int) -> Array:
        """Uniform between -1 and 1, a function of the operation and of the number in the format."""
        products = hash_products(array, self._dtype)
        products += self._salt(operation)
        draw = _finished(products).astype(np.float64)
        draw *= 2.0**-31
        return draw.reshape(array.shape)

    def _salt(self, operation: int) -> np.uint64:
        return np.uint64((self._seed * 0x632BE59BD9B4E019 + operation * 0xD1342543DE82EF95) % 2**64)


class Counting(Rounding):
    """Rounds nothing; counts the operations that would have been rounded."""

    @property
    def operations(self) -> int:
        return self._operations

    def of_constants(self, array: Array) -> Array:
        return array

    def of_result(
        self, array: Array, terms: float, site: Hashable = None, squares: Squares | None = None
    ) -> Array:
        self._count()
        return array

    def errors(self, array: Array) -> Array:
        self._count()
        return np.zeros_like(array)

    def draw_of_matrix(self, array: Array, part: int = 0) -> Array:
        return np.zeros(array.shape)


def _finite(moved: Array, array: Array) -> Array:
    """What was finite before it moved stays so: zero times a mask of float64's least, if infinite, is NaN."""
    return np.where(np.isfinite(array), np.clip(moved, -LARGEST, LARGEST), moved)


@np.errstate(all="ignore")
def is_exact(result: Array, operands: Iterable[Any], dtype: DType) -> bool:
    """Whether an operation rounds nothing: it and its operands are small multiples of `STEP`, as counts are.

    Functions take the floor of such numbers, and compare them. Of others it is no sign that their
    result is one: 1 / (1 + exp(-40)) is 1 by rounding.
    """
    return all(_on_grid(np.asarray(values, np.float64), dtype) for values in (result, *operands))


def _on_grid(values: Array, dtype: DType) -> bool:
    for some in (values.ravel()[:: max(1, values.size // SAMPLED)], values):
        steps = some / STEP
        if not (np.array_equal(steps, np.rint(steps)) and np.all(np.abs(steps) <= 2.0**dtype.precision)):
            return False
    return True


def hash_products(numbers: Array, dtype: DType) -> Array:
    """Fibonacci's hash of numbers in the format, in 64 bits, to which each draw adds its own number.

    Knuth 1973, section 6.4.
    """
    below = 53 - dtype.precision
    bits = np.array(numbers, np.float64, ndmin=1).view(np.uint64)
    bits += np.uint64((1 << below) >> 1)  # to the nearest
    bits >>= np.uint64(below)
    bits *= np.uint64(0x9E3779B97F4A7C15)
    return bits


def _finished(products: Array) -> Array:
    """Integers of 32 bits: the upper half, through the finisher of MurmurHash3 (Appleby 2011)."""
    products >>= np.uint64(32)
    half = products.astype(np.uint32)
    half ^= half >> np.uint32(16)
    half *= np.uint32(0x85EBCA6B)
    half ^= half >> np.uint32(13)
    half *= np.uint32(0xC2B2AE35)
    half ^= half >> np.uint32(16)
    return half.view(np.int32)


def underflow(size: Array, dtype: DType) -> Array:
    """What numbers below the smallest normal one may be off by: all of it, where they are flushed to zero.

    float16 keeps its subnormal numbers in every framework; the error there is of rounding to their spacing.
    """
    below = (size < 2.0**dtype.min_exponent) & (size > 0)
    return np.where(below, dtype.smallest_subnormal * UNIFORM if dtype.name == "float16" else size, 0.0)


def spread(terms: float) -> float:
    """Standard deviation of the rounding error of a sum, in unit roundoffs of its size.

    One rounding is uniform: 1/sqrt(3). A sum of n terms of one size from left to right rounds partial
    sums of 1, 2 ... n of them, each time anew: ``sqrt(1 + 4 + ... + n**2) / (n * sqrt(3))``, about
    ``sqrt(n) / 3``. Libraries add up in blocks and err less. Equal terms err more: `terms_alike`.
    """
    return math.sqrt(1 / 3 + terms / 9)

"""Faults of precision: arithmetic or storage narrower than the case's dtype claims."""

from collections.abc import Callable, Collection
from typing import Any

from ..diagnosis.record import NARROW_ARITHMETIC
from ..networks.dtypes import Array
from .mutant import Applies, Mutant, everywhere
from .rounding import BFLOAT16, FLOAT8, FLOAT16, FLOAT32, accumulated, as_float16, rounded

PRECISION = "precision"

STORED = frozenset(("z", "a", "loss", "da", "dz", "dW", "db", "W_new", "b_new", "loss_new"))


def _wider_than(precision: int) -> Applies:
    return lambda case: case.format.precision > precision


def _to(precision: int) -> Callable[[Array], Array]:
    return lambda values: rounded(values, precision)


def _products(name: str, description: str, narrow: Callable[[Array], Array], precision: int) -> Mutant:
    """Both factors of every matrix product are narrowed, its sums are not."""
    return everywhere(
        f"products-in-{name}",
        PRECISION,
        description,
        NARROW_ARITHMETIC,
        _wider_than(precision),
        product=lambda left, right: narrow(left) @ narrow(right),
    )


def _sums(name: str, description: str, precision: int) -> Mutant:
    """Every matrix product adds up in fewer bits."""
    return everywhere(
        f"sums-in-{name}",
        PRECISION,
        description,
        NARROW_ARITHMETIC,
        _wider_than(precision),
        product=lambda left, right: accumulated(left, right, precision),
    )


def _kept_as(narrow: Callable[[Array], Array], kinds: Collection[str]) -> Callable[[str, Any], Any]:
    return lambda kind, value: narrow(value) if kind in kinds else value


def _stored(
    name: str,
    description: str,
    narrow: Callable[[Array], Array],
    precision: int,
    kinds: Collection[str] = STORED,
) -> Mutant:
    """Quantities of these kinds are kept in fewer bits, also for what is computed from them."""
    return everywhere(
        name, PRECISION, description, NARROW_ARITHMETIC, _wider_than(precision), store=_kept_as(narrow, kinds)
    )


PRECISION_MUTANTS: tuple[Mutant, ...] = (
    _products("float8", "factors rounded to 4 bits", _to(FLOAT8), FLOAT8),
    _products("bfloat16", "factors rounded to 8 bits", _to(BFLOAT16), BFLOAT16),
    _products("float16", "factors rounded to float16, with its range", as_float16, FLOAT16),
    _products("tf32", "factors rounded to 11 bits, the implicit one counted", _to(FLOAT16), FLOAT16),
    _products("float32", "factors rounded to 24 bits", _to(FLOAT32), FLOAT32),
    _sums("bfloat16", "running sums of 8 bits", BFLOAT16),
    _sums("float16", "running sums of 11 bits", FLOAT16),
    _sums("float32", "running sums of 24 bits", FLOAT32),
    _stored("stored-in-bfloat16", "every quantity kept in 8 bits", _to(BFLOAT16), BFLOAT16),
    _stored("stored-in-float16", "every quantity kept in float16, with its range", as_float16, FLOAT16),
    _stored("stored-in-float32", "every quantity kept in 24 bits: x64 silently off", _to(FLOAT32), FLOAT32),
    _stored("activations-stored-in-bfloat16", "z and a kept in 8 bits", _to(BFLOAT16), BFLOAT16, {"z", "a"}),
    _stored(
        "gradients-stored-in-bfloat16", "dW and db kept in 8 bits", _to(BFLOAT16), BFLOAT16, {"dW", "db"}
    ),
    _stored("gradients-stored-in-float8", "dW and db kept in 4 bits", _to(FLOAT8), FLOAT8, {"dW", "db"}),
)

"""The number formats of a case, and how far apart their numbers lie.

``tf32`` is a pseudo-dtype: values are stored as float32, and a CUDA device's
matrix products may round their inputs to 10 fraction bits.
"""

import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidInput, unknown

Array = NDArray[Any]


@dataclass(frozen=True)
class DType:
    """A binary floating-point format, in the terms of IEEE 754.

    Parameters
    ----------
    name
        The name that cases and reports use.
    precision
        Significand bits p of the arithmetic, the implicit one counted.
    min_exponent
        Exponent e of the smallest normal number 2**e.
    max_exponent
        Exponent e of the largest binade [2**e, 2**(e+1)).
    stored_as
        Name of the format that arrays of this dtype are kept in.
    """

    name: str
    precision: int
    min_exponent: int
    max_exponent: int
    stored_as: str

    @property
    def eps(self) -> float:
        """Distance from 1 to the next number: 2**(1-p)."""
        return 2.0 ** (1 - self.precision)

    @property
    def unit_roundoff(self) -> float:
        """Largest relative error of one rounding to nearest: 2**-p."""
        return 2.0**-self.precision

    @property
    def largest(self) -> float:
        return (2.0 - self.eps) * 2.0**self.max_exponent

    @property
    def smallest_subnormal(self) -> float:
        return 2.0 ** (self.min_exponent - self.precision + 1)

    @cached_property
    def storage(self) -> Any:
        """The NumPy dtype that carries the values.

        Raises
        ------
        InvalidInput
            For bfloat16 when ml_dtypes is not installed.
        """
        if self.stored_as != "bfloat16":
            return np.dtype(self.stored_as)
        try:
            import ml_dtypes
        except ImportError:
            # Into this very Python, which may be another one than crossgrad's own.
            raise InvalidInput(
                f"dtype bfloat16 needs the package ml_dtypes: {sys.executable} -m pip install ml_dtypes"
            ) from None
        return np.dtype(ml_dtypes.bfloat16)

    def ulp(self, values: Array) -> Array:
        """Unit in the last place of each value: the spacing of this format there.

        ``ulp(x) = 2**(max(e, min_exponent) - p + 1)`` for 2**e <= |x| < 2**(e+1)
        (Goldberg 1991; Muller et al., Handbook of Floating-Point Arithmetic, 2.3.2).
        """
        bits = np.ascontiguousarray(values, np.float64).view(np.uint64)
        binade = (bits & np.uint64(0x7FF0000000000000)).view(np.float64)  # the exponent alone is 2**e
        spacing: Array = np.maximum(binade, 2.0**self.min_exponent) * self.eps
        return spacing.reshape(np.shape(values))


DTYPES: dict[str, DType] = {
    dtype.name: dtype
    for dtype in [
        DType("float16", 11, -14, 15, "float16"),
        DType("bfloat16", 8, -126, 127, "bfloat16"),
        DType("tf32", 11, -126, 127, "float32"),
        DType("float32", 24, -126, 127, "float32"),
        DType("float64", 53, -1022, 1023, "float64"),
    ]
}


def find_dtype(dtype: object) -> DType:
    """Return the format of a name, or of a library's own dtype.

    Raises
    ------
    InvalidInput
        If there is none, with the nearest names.
    """
    name = dtype_name(dtype)
    if not isinstance(name, str) or name not in DTYPES:
        raise unknown("dtype", name, DTYPES)
    return DTYPES[name]


def dtype_name(dtype: object) -> Any:
    """``float32`` of ``np.float32``, ``np.dtype("float32")``, ``jnp.float32`` and ``torch.float32``.

    All else is returned as it is.
    """
    if isinstance(dtype, np.dtype):
        return dtype.name
    if isinstance(dtype, type):
        return dtype.__name__
    return str(dtype).removeprefix("torch.") if type(dtype).__module__ == "torch" else dtype

"""NumPy's arrays in JAX's programs: one version for each dtype.

JAX keeps what it has made of an array that a function takes from around it as long as anything that it is
in is alive, and keeps one version whatever the x64 mode (0.10 to 0.12): what is of 32 bits, as it was made
with x64 off, is taken for the array with x64 on. Functions then fail, or compute with rounded data, in
comparisons and after them. JAX has no public name for this.
"""

from typing import Any
from weakref import WeakValueDictionary, finalize

import numpy as np
from jax._src import dtypes, literals

from ...networks.dtypes import Array

Versions = WeakValueDictionary[np.dtype[Any], Any]

VERSIONS: dict[int, Versions] = {}
"""What was made of an array, by the array's identity, as long as it is alive."""


def keep_versions_apart() -> None:
    """Have JAX make another constant of an array for each dtype; for as long as the process lives."""
    dtypes.register_canonicalize_value_handler(np.ndarray, _constant_of)


def _constant_of(array: Array) -> Any:
    versions = VERSIONS.get(id(array))
    if versions is None:
        versions = VERSIONS[id(array)] = WeakValueDictionary()
        finalize(array, VERSIONS.pop, id(array), None).atexit = False
    dtype = dtypes.canonicalize_dtype(array.dtype)
    found = versions.get(dtype)
    if found is None:
        found = versions[dtype] = literals.TypedNdArray(np.asarray(array, dtype))
    return found

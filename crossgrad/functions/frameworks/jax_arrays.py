"""NumPy's arrays in JAX's programs: one constant for each dtype.

JAX keeps what it has made of an array that a function takes from around it as long as anything that it is
in is alive, and keeps one constant whatever the x64 mode (0.10 to 0.12): what is of 32 bits, as it was made
with x64 off, is taken for the array with x64 on. Functions then fail, or compute with rounded data, in
comparisons and after them.
"""

from weakref import WeakValueDictionary, finalize

import numpy as np

from ...networks.dtypes import Array

CONSTANTS: dict[int, "WeakValueDictionary[np.dtype, Array]"] = {}
"""What JAX has made of an array, by the array's identity, as long as both are alive."""


def keep_constants_apart() -> None:
    """Have JAX make another constant of an array for each dtype, for as long as the process lives.

    JAX has no public name for that; one that has other names than those goes on as it is, and
    ``tests/test_functions_closures.py`` fails.
    """
    try:
        from jax._src.dtypes import canonicalize_dtype, register_canonicalize_value_handler
        from jax._src.literals import TypedNdArray
    except ImportError:
        return

    def constant(array: Array) -> Array:
        made = CONSTANTS.get(id(array))
        if made is None:
            made = CONSTANTS[id(array)] = WeakValueDictionary()
            finalize(array, CONSTANTS.pop, id(array), None).atexit = False
        dtype = canonicalize_dtype(array.dtype)
        found = made.get(dtype)
        if found is None:
            found = made[dtype] = TypedNdArray(np.asarray(array, dtype))
        return found

    register_canonicalize_value_handler(np.ndarray, constant)

"""A function's arguments: trees whose leaves are arrays, some of them differentiated by."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from ..networks.dtypes import DTYPES, Array, DType, dtype_name
from ..networks.errors import InvalidInput, shortened, unknown
from ..networks.whole import whole
from ..words import listed
from .flat import Flat
from .rounding import Rounding, hash_products
from .trees import Tree, join, take_apart

Key = tuple[int, str]
"""Which argument, and the path of the leaf in it."""

Values = Mapping[Key, Array]

LOSS_NAME = "loss"
"""What the loss is called beside the leaves; none of them has this name alone."""

FORMATS = {name: dtype for name, dtype in DTYPES.items() if name != "tf32"}


@dataclass(frozen=True)
class Arguments:
    """Arguments taken apart.

    Parameters
    ----------
    values
        The leaves that are arrays; the others (numbers, strings, functions) stay in the trees.
    argnums
        The arguments that are differentiated by.
    alone
        Whether that is one, given as a number: its gradients then have its structure, else a tuple's.
    """

    trees: tuple[Tree, ...]
    values: Values
    argnums: tuple[int, ...]
    alone: bool

    @cached_property
    def differentiated(self) -> tuple[Key, ...]:
        return tuple(key for key in self.values if key[0] in self.argnums)

    @cached_property
    def by_name(self) -> dict[str, Key]:
        """What is differentiated by, under its names in reports."""
        return {self.name(key): key for key in self.differentiated}

    @cached_property
    def format(self) -> DType:
        """The coarsest floating-point format of what is differentiated by."""
        used = {str(self.values[key].dtype) for key in self.differentiated}
        return max((FORMATS[name] for name in used), key=lambda found: found.unit_roundoff)

    def name(self, key: Key) -> str:
        """A leaf in reports: its path, with the argument before it where one path is not enough."""
        _, path = key
        return path if self.alone and path and path != LOSS_NAME else place_of(key)

    def built(self, natives: Mapping[Key, Any]) -> list[Any]:
        """The arguments with other leaves in the place of `values`."""
        return [
            tree.with_leaves({path: natives.get((n, path), leaf) for path, leaf in tree.leaves.items()})
            for n, tree in enumerate(self.trees)
        ]

    @cached_property
    def in_float64(self) -> dict[Key, Array]:
        """All values; those of floats are views of one array, `_wide`."""
        return dict(self.values) | self._wide.apart(self._wide.values)

    def disturbed(self, rounding: Rounding, all_of_them: bool = False) -> dict[Key, Array]:
        """As `in_float64`, with the floats rounded at random; but not what only holds integers and is given.

        Labels, masks and counts are exact in any format, and functions ask what they are equal to.
        """
        products = self._products if rounding.dtype is self.format else None
        moved = self._wide.apart(rounding.of_input(self._wide.values, products))
        return dict(self.values) | moved | ({} if all_of_them else self.codes)

    @cached_property
    def codes(self) -> dict[Key, Array]:
        """Leaves of floats that hold integers only, and are given: in float64."""
        return {
            key: value
            for key, value in self.in_float64.items()
            if key not in self.differentiated and is_float(value) and holds_integers(value)
        }

    @cached_property
    def _wide(self) -> Flat[Key]:
        return Flat({key: value for key, value in self.values.items() if is_float(value)})

    @cached_property
    def _products(self) -> Array:
        return hash_products(self._wide.values, self.format)


def holds_integers(array: Array) -> bool:
    """Whether all of its numbers are; infinities are none that rounding would change."""
    return bool(np.array_equal(array, np.rint(array)))


def read_arguments(args: Sequence[Any], argnums: int | Sequence[int], dtype: str | None = None) -> Arguments:
    """Take arguments apart, and see that those to be differentiated by can be.

    Parameters
    ----------
    dtype
        What floating-point leaves are to be converted to; None leaves them as they are.

    Raises
    ------
    InvalidInput
        If there is no argument of a number in `argnums`, or a leaf there is no floating-point array.
    """
    _require_tuple(args)
    numbers = _argnums(argnums, len(args))
    trees = tuple(take_apart(arg) for arg in args)
    values: dict[Key, Array] = {}
    for n, tree in enumerate(trees):
        for path, leaf in tree.leaves.items():
            array = as_array(leaf)
            if array is not None:
                values[n, path] = array
            elif n in numbers and isinstance(leaf, float):
                values[n, path] = np.asarray(leaf)
            elif n in numbers:
                raise _no_array(place_of((n, path)), leaf)
    if dtype is None:
        values |= _as_the_arrays(trees, values)
    else:
        storage = find_format(dtype).storage
        with np.errstate(over="ignore"):
            values = {k: value.astype(storage) if is_float(value) else value for k, value in values.items()}
    arguments = Arguments(trees, values, numbers, whole(argnums) is not None)
    _require_floats(arguments)
    return arguments


def _as_the_arrays(trees: Sequence[Tree], values: Values) -> dict[Key, Array]:
    """Python's floats, and NumPy's that are theirs too, in the coarsest dtype of the arrays of floats.

    Frameworks compute in that of the arrays, whatever a number beside them is.
    """
    numbers = [key for key in values if isinstance(trees[key[0]].leaves[key[1]], float)]
    arrays = [value for key, value in values.items() if key not in numbers and is_float(value)]
    if not numbers or not arrays:
        return {}
    storage = max((FORMATS[str(a.dtype)] for a in arrays), key=lambda found: found.unit_roundoff).storage
    return {key: values[key].astype(storage) for key in numbers}


def place_of(key: Key) -> str:
    """A leaf's place among all arguments: ``args[0]/dense/kernel``."""
    number, path = key
    return join(f"args[{number}]", path) if path else f"args[{number}]"


def is_float(array: Array) -> bool:
    return _is_float(array.dtype)


@cache
def _is_float(dtype: Any) -> bool:
    return str(dtype) in FORMATS  # NumPy takes 10 us to name a dtype


def as_array(leaf: Any) -> Array | None:
    """A leaf as an array of NumPy's, or None if it is none."""
    if isinstance(leaf, np.ndarray | np.generic):
        return np.asarray(leaf)
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch is not None and isinstance(leaf, torch.Tensor):
        from ..natives.torch import stored

        return stored(leaf)
    if jax is not None and isinstance(leaf, jax.Array) and not _is_key(leaf):
        return np.asarray(leaf)
    return None


def _is_key(array: Any) -> bool:
    """Whether an array of JAX's holds keys of random streams, as `jax.random.key` makes: no numbers."""
    import jax

    return bool(jax.numpy.issubdtype(array.dtype, jax.dtypes.prng_key))


def _require_tuple(args: Any) -> None:
    if isinstance(args, list | tuple):
        return
    what = f"an array of shape {tuple(args.shape)}" if hasattr(args, "shape") else f"a {type(args).__name__}"
    raise InvalidInput(
        f"args is {what}: expected a tuple of the functions' arguments, as in args=(params, x, y), or "
        "args=(params,) for one"
    )


def find_format(dtype: Any) -> DType:
    """The format of arrays that a name, or a library's own dtype, stands for; or an `InvalidInput`."""
    name, known = dtype_name(dtype), ", ".join(FORMATS)
    if name == "tf32":
        raise InvalidInput(
            "dtype 'tf32' is a way of multiplying float32 on CUDA, and no format of arrays: switch it on in "
            f"the function, or give one of {known}"
        )
    if not isinstance(name, str) or name not in FORMATS:
        raise unknown("dtype", name, FORMATS)
    return FORMATS[name]


def _argnums(argnums: Any, count: int) -> tuple[int, ...]:
    given = tuple(argnums) if isinstance(argnums, Iterable) and whole(argnums) is None else (argnums,)
    numbers = tuple(n for n in map(whole, given) if n is not None)
    if not numbers or len(numbers) < len(given):
        raise InvalidInput(f"argnums {argnums!r}: expected the number of an argument, or several")
    if not all(0 <= n < count for n in numbers) or len(set(numbers)) < len(numbers):
        raise InvalidInput(f"argnums {argnums!r}: there are {count} arguments, numbered from 0, each once")
    return numbers


def _no_array(place: str, leaf: Any) -> InvalidInput:
    what = f"{place} is {shortened(repr(leaf))}, of type {type(leaf).__name__}"
    if hasattr(leaf, "named_parameters"):
        return InvalidInput(
            f"{place} is a module, not its parameters: give dict(module.named_parameters()), and "
            "dict(module.named_buffers()) as another argument, and call it with torch.func.functional_call"
        )
    return InvalidInput(
        f"{what}: expected an array of floats; move it to an argument that argnums leaves out, or keep it in "
        "the function: eqx.partition(module, eqx.is_inexact_array) takes a module apart"
    )


def _require_floats(arguments: Arguments) -> None:
    for key in arguments.differentiated:
        dtype = arguments.values[key].dtype
        if not is_float(arguments.values[key]):
            raise InvalidInput(
                f"{arguments.name(key)} has dtype {dtype}: only {', '.join(FORMATS)} are differentiated by; "
                "convert it, or move it to an argument that argnums leaves out"
            )
    if not arguments.differentiated:
        raise InvalidInput(
            "there is nothing to differentiate by: no array in the arguments that argnums names"
        )
    if not any(arguments.values[key].size for key in arguments.differentiated):
        shapes = [f"{arguments.name(key)} {arguments.values[key].shape}" for key in arguments.differentiated]
        raise InvalidInput(
            f"there is nothing to differentiate by: {listed(shapes)} {'has' if len(shapes) == 1 else 'have'} "
            "no elements"
        )


Call = Callable[[Mapping[Key, Any]], Any]
"""A function of its leaves alone: it builds the arguments and calls."""

"""What a function returned instead of a loss alone, or of gradients, or a pair of a loss and gradients."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..networks.dtypes import Array
from ..networks.errors import InvalidInput
from ..words import listed

EXPECTED = (
    "return (loss, gradients), or the gradients alone, in the structure of the arguments they belong to"
)


def require_one(raw: Any) -> None:
    """See that a loss function returned one thing, be it a loss or not.

    Raises
    ------
    InvalidInput
        If it returned several in a container.
    """
    if isinstance(raw, Mapping):
        what = f"a dict of {listed([repr(key) for key in raw])}" if raw else "an empty dict"
    elif isinstance(raw, tuple | list):
        what = f"a {type(raw).__name__} of {len(raw)}"
    else:
        return
    is_pair = isinstance(raw, tuple) and len(raw) == 2
    hint = ", (loss, aux) as for has_aux? Return" if is_pair else ": return"
    other = "; (loss, gradients) are for crossgrad.gradient" if is_pair else ""
    raise InvalidInput(f"it returned {what}{hint} the loss alone, a scalar{other}")


def described(raw: Any, fits: bool, asked: int | None, to_numpy: Callable[[Any], Array | None]) -> str | None:
    """What was returned that is no gradient of the arguments, if it looks like a known mistake.

    Parameters
    ----------
    fits
        Whether it has the arguments' structure, so that its shapes or dtypes are wrong.
    asked
        Of how many arguments a tuple of gradients is asked for; 0 for one of a single array's.
    """
    if _is_number(raw, to_numpy):
        return f"it returned one number, the loss alone? {EXPECTED}"
    if isinstance(raw, tuple) and len(raw) == 2 and (raw[0] is None or _is_number(raw[0], to_numpy)):
        told = _miscounted(raw[1], asked, to_numpy)
        if told is not None:
            return told
        if raw[0] is None:
            return f"the first of what it returned is None, and no loss: {EXPECTED}"
    if fits or not isinstance(raw, tuple | list):
        return None
    numbers = [_is_number(part, to_numpy) for part in raw]
    pair = len(raw) == 2
    if pair and numbers == [False, True]:
        return f"it returned (gradients, loss), the other way round: {EXPECTED}"
    if pair and numbers == [True, False] and isinstance(raw, list):
        return f"it returned a list, [loss, gradients], which could be two gradients: {EXPECTED}"
    first = to_numpy(raw[0]) if raw else None
    if pair and first is not None and first.size != 1:
        return f"if its first is the loss, that has shape {first.shape}, expected one number: {EXPECTED}"
    if len(raw) > 2 and numbers[0]:
        return f"it returned {len(raw)} things; if the first is the loss: {EXPECTED}"
    return None


def in_lists(
    gradients: Mapping[str, Any], expected: Iterable[str], to_numpy: Callable[[Any], Array | None]
) -> str | None:
    """That a leaf was returned as a list of its numbers, if one was; a single array is named by its place."""
    for name in expected:
        before = rf"({re.escape(name)}/)?" if name.startswith("args[") else f"{re.escape(name)}/"
        numbers = [g for path, g in gradients.items() if re.fullmatch(rf"{before}\d+(/\d+)*", path)]
        if numbers and name not in gradients and all(_is_number(g, to_numpy) for g in numbers):
            return f"its gradient at {name} is a list of numbers: return an array, in the argument's dtype"
    return None


def _miscounted(gradients: Any, asked: int | None, to_numpy: Callable[[Any], Array | None]) -> str | None:
    """Where gradients are a tuple and one is asked for, or the other way round."""
    count = len(gradients) if isinstance(gradients, tuple) else None
    if asked == 0 and count == 1:
        return (
            "its gradients are a tuple of one, as torch.autograd.grad gives it: "
            "return its first, or compare with argnums=(0,)"
        )
    if asked == 0 and count:
        numbers = ", ".join(map(str, range(count)))
        return f"its gradients are a tuple of {count}, and argnums asks for one: argnums=({numbers})?"
    if asked and asked > 1 and to_numpy(gradients) is not None:
        return (
            f"it returned one gradient, and argnums asks for {asked}: return a tuple of them, "
            "as jax.value_and_grad does if it is given the same argnums"
        )
    return None


def _is_number(value: Any, to_numpy: Callable[[Any], Array | None]) -> bool:
    array = to_numpy(value)
    return array is not None and array.size == 1

"""What a gradient function returned instead of gradients, or a pair of a loss and gradients."""

from collections.abc import Callable
from typing import Any

from ..networks.dtypes import Array

EXPECTED = (
    "return (loss, gradients), or the gradients alone, in the structure of the arguments they belong to"
)


def described(raw: Any, fits: bool, to_numpy: Callable[[Any], Array | None]) -> str | None:
    """What was returned that is no gradient of the arguments, if it looks like a known mistake.

    Parameters
    ----------
    fits
        Whether it has the arguments' structure, so that its shapes or dtypes are wrong.
    """
    if _is_number(raw, to_numpy):
        return f"it returned one number, the loss alone? {EXPECTED}"
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


def _is_number(value: Any, to_numpy: Callable[[Any], Array | None]) -> bool:
    array = to_numpy(value)
    return array is not None and array.size == 1

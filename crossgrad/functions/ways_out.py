"""What helps against an error that a function raised, where its cause is in the arguments or beside them."""

import re

from ..networks.dtypes import Array
from .arguments import Arguments, is_float, place_of

KEPT = (
    "; are tensors of another dtype kept in the function? Convert them, by .to(x.dtype); pass a module's "
    "buffers, dict(module.named_buffers()), as another argument"
)

TORCH_DTYPES = re.compile(r"\b(?:double|bfloat16|float|half|long|int)\b")
"""As they stand in PyTorch's messages."""

LABELS = "; PyTorch takes labels in int64: call y.long() in the function, or give them so"


def way_out(error: Exception, framework: str, arguments: Arguments) -> str:
    """A sentence to be added to an error, or nothing."""
    if isinstance(error, TypeError) and "'list'" in str(error):
        return _of_lists(arguments)
    if framework != "torch" or not isinstance(error, RuntimeError):
        return ""
    text = str(error).lower()
    if "expected target dtype to be long" in text:
        return LABELS
    return _of_dtypes(arguments, text) if len(set(TORCH_DTYPES.findall(text))) > 1 else ""


def _of_lists(arguments: Arguments) -> str:
    """A list of numbers is a tree of them to frameworks, and no array."""
    for number, tree in enumerate(arguments.trees):
        if (
            tree.leaves
            and all(isinstance(leaf, int | float) for leaf in tree.leaves.values())
            and "" not in tree.leaves
        ):
            return f"; args[{number}] is a list of numbers: give an array, np.array(...)"
    return ""


def _of_dtypes(arguments: Arguments, text: str) -> str:
    """PyTorch multiplies no two dtypes: of two arguments, or of one and what the function keeps."""
    floats: dict[str, str] = {}
    for key, value in arguments.values.items():
        if is_float(value):
            floats.setdefault(str(value.dtype), place_of(key))
    if len(floats) > 1:
        told = " and ".join(f"{place} is {dtype}" for dtype, place in floats.items())
        return f'; {told}: dtype="{arguments.format.name}" converts all'
    integers = [place_of(key) for key, value in arguments.values.items() if _holds_integers(value)]
    if integers and ("int" in text or "long" in text):
        return f"; {integers[0]} holds integers: convert it in the function, by .to(w.dtype), or give floats"
    return KEPT


def _holds_integers(array: Array) -> bool:
    return array.dtype.kind in "iu"

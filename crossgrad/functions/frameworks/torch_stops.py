"""A scope in which nothing stops PyTorch's gradients."""

from contextlib import nullcontext
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

DATA: Any = torch.Tensor.data
STOPPING = {torch.Tensor.detach, torch.detach, torch.Tensor.detach_, torch.detach_, DATA.__get__}
"""What gives a tensor without its gradient."""


class Unstopped(TorchFunctionMode):
    """Detaching, ``.data`` and switching gradients off do nothing, in this thread alone.

    What is written into a tensor that has no gradient is stopped all the same: that may be the user's own,
    as a moving average is, and would have a gradient from then on.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in STOPPING:
            return args[0]
        if func is torch._C._set_grad_enabled and not args[0]:
            return None
        to_the_users = _may_write(func) and args and not getattr(args[0], "requires_grad", True)
        with torch.no_grad() if to_the_users else nullcontext():
            return func(*args, **(kwargs or {}))


def _may_write(func: Any) -> bool:
    """Whether a function's name is like ``add_``, ``__iadd__``, or that of an assignment."""
    name: str = func.__name__
    return name.startswith(("__i", "__setitem__")) or (name.endswith("_") and not name.endswith("__"))


unstopped = Unstopped

"""PyTorch: tensors, autograd, and a mode in which every operation rounds at random."""

import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from ...natives.torch import NATIVE, stored
from ...networks.dtypes import Array
from ...networks.errors import InvalidInput
from ..arguments import Call, Key, place_of
from ..complexes import of_complex
from ..kernels import loosened, near
from ..rounding import Rounding, TooMany, is_exact
from ..sites import call_site
from ..sums import of_indexed_sums, of_running_sums
from .torch_cancelling import CANCELLING
from .torch_rounds import (
    ARITHMETIC,
    FILLING,
    INDEXED,
    KERNELS,
    RESHAPING,
    RUNNING,
    SECOND,
    SUMMING,
    VECTORS,
    again,
    draws,
    floats,
    host,
    is_complex,
    is_indexed_sum,
    is_wide,
    name_of,
    rounds_nothing,
    squares_of,
    terms_alike_of,
    terms_of,
)
from .torch_stops import unstopped as unstopped
from .torch_widened import widened


class Runnable:
    """A function of leaves, made to run; see the package."""

    is_seen = is_watched = True

    def __init__(self, call: Call, differentiates: bool, wanted: Sequence[Key], device: str) -> None:
        self._call, self._differentiates = call, differentiates
        self._wanted, self._device = wanted, device
        self._can_be_widened, self._has_been_widened = True, False
        self.draws: str | None = None
        self.lowered: str | None = None

    def run(self, values: Mapping[Key, Array], noise: Rounding | None, instead_of: str | None) -> Any:
        if instead_of is None or not self._can_be_widened:
            return self._run(values, noise)
        try:
            with widened(instead_of, self._device) as lowered:
                try:
                    found = self._run(values, noise)
                finally:
                    self.lowered = self.lowered or lowered()
        except TooMany:
            raise
        except Exception:
            if self._has_been_widened:
                raise
            self._can_be_widened = False  # it may hold tensors of its own
            return self._run(values, noise)
        self._has_been_widened = True
        return found

    def _run(self, values: Mapping[Key, Array], noise: Rounding | None) -> Any:
        with NATIVE.scope("any"):
            given = {key: NATIVE.array(value).to(self._device) for key, value in values.items()}
            for key in self._wanted:
                given[key].requires_grad_()
            rounds = None if noise is None else RandomRounding(noise)
            with rounds or nullcontext():
                result = self._call(given)
                if self._differentiates:
                    result = _differentiated(result, given, self._wanted)
            if rounds is not None:
                self.draws = rounds.draws
        for key, tensor in given.items():
            if tensor._version:
                raise InvalidInput(
                    f"it writes into {place_of(key)}: clone first, as in {{name: buffer.clone() for name, "
                    "buffer in buffers.items()} of a module's in training"
                )
        return result


def to_numpy(value: Any) -> Array | None:
    if isinstance(value, torch.Tensor):
        return stored(value)
    return np.asarray(value) if isinstance(value, float | int) else None


class RandomRounding(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds to each result in float64 an error as large as rounding's would be; in the backward pass too."""

    def __init__(self, rounding: Rounding) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rounding, self._sites = rounding, _Sites()
        self._uncompiled: Callable[..., Any] | None = None
        self.draws: str | None = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: PyTorch imports its compiler for that, which takes seconds. Where it is, it is kept out."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._uncompiled is None and "torch._dynamo" in sys.modules:
            self._uncompiled = torch.compiler.disable(self._rounded)  # type: ignore[no-untyped-call]
        return (self._uncompiled or self._rounded)(func, args, kwargs)

    def _rounded(self, func: Any, args: Any, kwargs: Any) -> Any:
        if name_of(func).rstrip("_") in ARITHMETIC | FILLING:
            args, kwargs = tree_map(self._constant, (args, kwargs))
        args = self._of_kernel(func, args)
        given = _kept(func, args)
        result = func(*args, **(kwargs or {}))
        if draws(func, args, kwargs or {}):
            self.draws = name_of(func)
        # The user's own numbers, as torch.tensor wraps them: never written into.
        if name_of(func) == "lift_fresh" and is_wide(result):
            return torch.from_numpy(self._rounding.of_constants(host(result)))
        returned = [value.alias_info for value in func._schema.returns]
        if any(alias is not None and not alias.is_write for alias in returned):
            return result  # a view of what was rounded before
        if rounds_nothing(func, args, kwargs or {}) or name_of(func) in RESHAPING:
            return result
        for number in VECTORS.get(name_of(func), ()):
            if is_wide(result[number]) or is_complex(result[number]):
                result[number].copy_(torch.from_numpy(loosened(self._rounding, host(result[number]))))
        site = self._sites.of(func)
        for number, value in enumerate(tree_leaves(result)):
            self._disturb(value, func, given, kwargs, (site, number))
        return result

    def _of_kernel(self, func: Any, args: Any) -> Any:
        """What a kernel is given, its matrix with the errors that it makes inside."""
        kind, at = KERNELS.get(name_of(func)), int(name_of(func) in SECOND)
        if kind is None or not (is_wide(args[at]) or is_complex(args[at])):
            return args
        moved = near(self._rounding, host(args[at].resolve_conj()), kind)
        return (*args[:at], torch.from_numpy(moved).to(args[at].device), *args[at + 1 :])

    def _constant(self, value: Any) -> Any:
        return self._rounding.of_constant(value) if isinstance(value, float) else value

    def _disturb(self, value: Any, func: Any, args: Any, kwargs: Any, site: Hashable) -> None:
        if not (is_wide(value) or is_complex(value)) or not value.numel() or value._is_zerotensor():
            return
        exact, name = host(value), name_of(func).rstrip("_")
        if is_complex(value) and (name == "cumsum" or is_indexed_sum(name, args, kwargs)):
            for part in (torch.real, torch.imag):  # of the result, a view
                parts = [part(arg) if is_complex(arg) else arg for arg in args]
                self._disturb(part(value), func, parts, kwargs, site)
            return
        if is_complex(value):
            rounded = of_complex(self._rounding, exact, name, terms_of(func, args, value), site)
            value.copy_(torch.from_numpy(np.asarray(rounded)))
            return
        operands = None if name != name_of(func) else floats(args)  # in place: they are written over
        if operands is not None and is_exact(exact, operands, self._rounding.dtype):
            return
        if name in RUNNING:
            rounded = of_running_sums(self._rounding, exact, again(func, args), args[1])
        elif is_indexed_sum(name, args, kwargs):
            rounded = of_indexed_sums(self._rounding, exact, again(func, args))
        elif name == "floor_divide" or (kwargs and kwargs.get("rounding_mode")):
            rounded = self._rounding.of_quotient(exact, site)
        else:
            told = func, args, kwargs or {}, value
            terms = terms_alike_of(*told, self._rounding.dtype)
            rounded = self._rounding.of_result(exact, terms, site, partial(squares_of, *told))
        if name in CANCELLING:
            with np.errstate(all="ignore"):
                within = CANCELLING[name](
                    *(host(arg) if is_wide(arg) else arg for arg in args), **(kwargs or {})
                )
            rounded = rounded + self._rounding.errors(within)
        value.copy_(torch.from_numpy(np.asarray(rounded)))


class _Sites:
    """Where operations are called: those of a backward pass, where that was which they are derivatives of.

    Autograd numbers the operations that it records (PyTorch has no public name for that).
    """

    def __init__(self) -> None:
        self._forward: dict[int, int] = {}

    def of(self, func: Any) -> Hashable:
        """The place of an operation that has just been called."""
        node = torch._C._current_autograd_node()
        if node is None:
            site = call_site()
            self._forward[torch._C._autograd._get_sequence_nr() - 1] = site
            return site
        return self._forward.get(node._sequence_nr()), name_of(func)


def _kept(func: Any, args: Any) -> Any:
    """Arguments as they are before an operation of sums writes into the first."""
    name = name_of(func)
    writes = name.endswith("_") and name.rstrip("_") in INDEXED | RUNNING | SUMMING
    return (args[0].clone(), *args[1:]) if writes else args


def _differentiated(loss: Any, given: Mapping[Key, torch.Tensor], wanted: Sequence[Key]) -> Any:
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        what = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else repr(loss)
        raise InvalidInput(f"it returned {what}: expected a scalar loss, a tensor of one element")
    if not loss.requires_grad:
        raise InvalidInput(
            "its loss does not depend on what is differentiated by: .detach(), .item(), no_grad() "
            "or NumPy on the way?"
        )
    found = torch.autograd.grad(loss.reshape(()), [given[key] for key in wanted], allow_unused=True)
    return loss, dict(zip(wanted, found, strict=True))

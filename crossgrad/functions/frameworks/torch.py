"""PyTorch: tensors, autograd, and a mode in which every operation rounds at random."""

import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from ...natives.torch import NATIVE, stored
from ...networks.dtypes import Array, DType
from ...networks.errors import InvalidInput
from ..arguments import Call, Key, place_of
from ..complexes import of_complex, terms_of_transform
from ..kernels import COLUMNS, ELIMINATING, ORTHOGONAL, RANKED, SYMMETRIC, TRIANGULAR, loosened, near
from ..likeness import terms_alike
from ..rounding import Rounding, TooMany, is_exact
from ..sites import call_site
from ..sums import Again, of_indexed_sums, of_running_sums
from .torch_cancelling import CANCELLING
from .torch_stops import unstopped as unstopped
from .torch_widened import widened

SELECTING = {
    *("maximum", "minimum", "fmax", "fmin", "max", "min", "amax", "amin", "aminmax"),
    *("clamp", "clamp_min", "clamp_max", "cummax", "cummin", "sort", "topk"),
    *("median", "nanmedian", "kthvalue", "mode", "abs", "neg", "gather", "index_select", "index"),
    *("complex", "conj_physical", "_conj_physical"),
    *("relu", "hardtanh", "nan_to_num", "copysign", "heaviside"),
    *("threshold_backward", "hardtanh_backward", "where", "take", "masked_select", "embedding"),
    *("max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    *("fractional_max_pool2d", "fractional_max_pool3d"),
}
"""Operations that return one of their operands: they round nothing, and derivatives look for it there."""

FILLING = {"fill", "masked_fill", "index_fill", "constant_pad_nd", "scatter"}
"""Operations that put a constant, which is rounded to their dtype, in places of an operand."""

MOVING = FILLING | {
    *("cat", "stack", "clone", "copy", "repeat", "narrow_copy", "_unsafe_view", "block_diag", "diag_embed"),
    *("roll", "flip", "rot90", "tril", "triu", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle"),
    *("masked_scatter", "index_copy", "select_scatter", "slice_scatter", "diagonal_scatter"),
    *("as_strided_scatter", "slice_backward", "select_backward", "diagonal_backward", "im2col"),
    *("max_unpool2d", "max_unpool3d"),
    *(f"{kind}_pad{n}d" for kind in ("reflection", "replication") for n in (1, 2, 3)),
    *(f"{kind}{n}d" for kind in ("upsample_nearest", "_upsample_nearest_exact") for n in (1, 2, 3)),
}
"""Operations that put numbers elsewhere; not such derivatives of them as add up."""

EXACT = {
    *SELECTING,
    *MOVING,
    *("floor", "ceil", "trunc", "frac", "frexp", "fmod", "sign", "sgn", "nextafter"),
}
"""Operations of whose results a format holds every digit. Code takes rows of tables by these.

Not the remainder, which adds a divisor of another sign.
"""

ROUNDING_IF_TOLD = {
    **{"round": "decimals", "scatter": "reduce"},
    **dict.fromkeys(("index_put", "_index_put_impl", "_unsafe_index_put", "put"), "accumulate"),
}
"""Operations that are exact unless an option is given, and that."""

REDUCING = ("scatter_reduce", "index_reduce", "segment_reduce")
"""Operations that do so if they are told to take the greatest or the least."""

RUNNING = {"cumsum", "logcumsumexp"}
"""Operations that give running sums; that of a product rounds no more than its factors did."""

INDEXED = {
    *("index_put", "_index_put_impl", "_unsafe_index_put", "put", "index_add", "scatter_add"),
    *("scatter_reduce", "embedding_dense_backward"),
}
"""Operations that add to where an index says, however often."""

ARITHMETIC = {"add", "sub", "rsub", "mul", "div", "pow", "lerp", "addcmul", "addcdiv"}
"""Operations in which a constant of the code is a number like others, and rounded to their dtype."""


KERNELS = {
    **dict.fromkeys(("_linalg_svd", "linalg_pinv", "linalg_lstsq"), RANKED),
    **dict.fromkeys(("linalg_eig", "linalg_eigvals", "_linalg_eigvals", "linalg_matrix_exp"), ORTHOGONAL),
    "_linalg_eigh": SYMMETRIC,
    **dict.fromkeys(("_linalg_det", "_linalg_slogdet", "_linalg_solve_ex", "linalg_inv_ex"), ELIMINATING),
    **dict.fromkeys(("linalg_lu", "linalg_lu_factor_ex"), ELIMINATING),
    **dict.fromkeys(("linalg_qr", "geqrf"), COLUMNS),
    **dict.fromkeys(("linalg_lu_solve", "linalg_solve_triangular", "cholesky_inverse"), TRIANGULAR),
    **dict.fromkeys(("cholesky_solve", "triangular_solve"), TRIANGULAR),
}
"""Operations of matrices as a whole, and how they err.

Not the Cholesky factor, whose errors are as small as those of what it is given.
"""

SECOND = {"cholesky_solve", "triangular_solve"}
"""Those of which the second argument is the matrix, not the first."""

VECTORS = {"_linalg_svd": (0, 2), "_linalg_eigh": (1,), "linalg_qr": (0,)}
"""Which of the results of such operations are vectors that are orthogonal but for errors."""

RESHAPING = {"squeeze_", "unsqueeze_", "t_", "transpose_", "swapaxes_", "swapdims_", "as_strided_", "detach_"}
"""Operations that write, but to the shape alone, not to what was rounded before."""


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
            return self._run(values, noise and noise.again())
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
                raise InvalidInput(f"it writes into {place_of(key)}: clone first")
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
        if _name(func).rstrip("_") in ARITHMETIC | FILLING:
            args, kwargs = tree_map(self._constant, (args, kwargs))
        args = self._of_kernel(func, args)
        given = _kept(func, args)
        result = func(*args, **(kwargs or {}))
        if _draws(func, args, kwargs or {}):
            self.draws = _name(func)
        # The user's own numbers, as torch.tensor wraps them: never written into.
        if _name(func) == "lift_fresh" and _is_wide(result):
            return torch.from_numpy(self._rounding.of_constants(_host(result)))
        returned = [value.alias_info for value in func._schema.returns]
        if any(alias is not None and not alias.is_write for alias in returned):
            return result  # a view of what was rounded before
        if _rounds_nothing(func, args, kwargs or {}) or _name(func) in RESHAPING:
            return result
        for number in VECTORS.get(_name(func), ()):
            if _is_wide(result[number]) or _is_complex(result[number]):
                result[number].copy_(torch.from_numpy(loosened(self._rounding, _host(result[number]))))
        site = self._sites.of(func)
        for number, value in enumerate(tree_leaves(result)):
            self._disturb(value, func, given, kwargs, (site, number))
        return result

    def _of_kernel(self, func: Any, args: Any) -> Any:
        """What a kernel is given, its matrix with the errors that it makes inside."""
        kind, at = KERNELS.get(_name(func)), int(_name(func) in SECOND)
        if kind is None or not (_is_wide(args[at]) or _is_complex(args[at])):
            return args
        moved = near(self._rounding, _host(args[at].resolve_conj()), kind)
        return (*args[:at], torch.from_numpy(moved).to(args[at].device), *args[at + 1 :])

    def _constant(self, value: Any) -> Any:
        return self._rounding.of_constant(value) if isinstance(value, float) else value

    def _disturb(self, value: Any, func: Any, args: Any, kwargs: Any, site: Hashable) -> None:
        if not (_is_wide(value) or _is_complex(value)) or not value.numel() or value._is_zerotensor():
            return
        exact, name = _host(value), _name(func).rstrip("_")
        if _is_complex(value) and (name == "cumsum" or _is_indexed_sum(name, args, kwargs)):
            for part in (torch.real, torch.imag):  # of the result, a view
                parts = [part(arg) if _is_complex(arg) else arg for arg in args]
                self._disturb(part(value), func, parts, kwargs, site)
            return
        if _is_complex(value):
            rounded = of_complex(self._rounding, exact, name, _terms(func, args, value), site)
            value.copy_(torch.from_numpy(np.asarray(rounded)))
            return
        operands = None if name != _name(func) else _floats(args)  # in place: they are written over
        if operands is not None and is_exact(exact, operands, self._rounding.dtype):
            return
        if name in RUNNING:
            rounded = of_running_sums(self._rounding, exact, _again(func, args), args[1])
        elif _is_indexed_sum(name, args, kwargs):
            rounded = of_indexed_sums(self._rounding, exact, _again(func, args))
        elif name == "floor_divide" or (kwargs and kwargs.get("rounding_mode")):
            rounded = self._rounding.of_quotient(exact, site)
        else:
            terms = _terms_alike(func, args, kwargs or {}, value, self._rounding.dtype)
            rounded = self._rounding.of_result(exact, terms, site)
        if name in CANCELLING:
            with np.errstate(all="ignore"):
                within = CANCELLING[name](*(_host(arg) if _is_wide(arg) else arg for arg in args))
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
        return self._forward.get(node._sequence_nr()), _name(func)


def _draws(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether an operation draws random numbers; one that can drop out draws none where it drops nothing."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return False
    return bool(_by_name(func, args, kwargs).get("dropout_p") != 0)


def _rounds_nothing(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether an operation is exact, as it is used."""
    name = _name(func).rstrip("_")
    if name == "linalg_vector_norm":
        return bool(abs(_by_name(func, args, kwargs)["ord"]) == float("inf"))
    if name in REDUCING:
        return _by_name(func, args, kwargs)["reduce"] in ("amax", "amin", "max", "min")
    if name in ROUNDING_IF_TOLD:
        return not _by_name(func, args, kwargs).get(ROUNDING_IF_TOLD[name])
    return name in EXACT and not (name in ("abs", "sgn") and args[0].is_complex())


def _by_name(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What an operation is given, by the names of its arguments."""
    defaults = {argument.name: argument.default_value for argument in func._schema.arguments}
    return {**defaults, **dict(zip(defaults, args, strict=False)), **kwargs}


def _is_wide(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype is torch.float64 and not value.is_meta


def _is_complex(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype is torch.complex128


def _floats(args: Any) -> list[Any]:
    """The floating-point numbers that an operation was given, those in lists too."""
    leaves = tree_leaves(args)
    return [
        _host(leaf) if _is_wide(leaf) else leaf
        for leaf in leaves
        if _is_wide(leaf) or isinstance(leaf, float)
    ]


def _host(tensor: torch.Tensor) -> Array:
    array: Array = tensor.numpy(force=True)
    return array


def _kept(func: Any, args: Any) -> Any:
    """Arguments as they are before an operation of sums writes into the first."""
    name = _name(func)
    writes = name.endswith("_") and name.rstrip("_") in INDEXED | RUNNING
    return (args[0].clone(), *args[1:]) if writes else args


def _is_indexed_sum(name: str, args: Any, kwargs: Any) -> bool:
    if name == "scatter_reduce":
        return bool(args[4] == "sum")
    if name == "embedding_dense_backward":
        return not args[4]  # else divided by how many there are
    return name in INDEXED and not (kwargs and "alpha" in kwargs)


def _again(func: Any, args: Any) -> Again:
    """An operation once more, on parts of its inputs that are numbers."""

    def again(part: Callable[[Array], Array]) -> Array:
        parts = [NATIVE.array(part(_host(a))).to(a.device) if _is_wide(a) else a for a in args]
        return _host(func.overloadpacket(*parts).double())

    return again


def _name(func: Any) -> str:
    name: str = func._schema.name
    return name.removeprefix("aten::")


def _terms_alike(
    func: Any, args: Any, kwargs: Mapping[str, Any], result: torch.Tensor, dtype: DType
) -> float:
    """As `_terms`; of plain sums, as many as would err like these if all differed."""
    name = _name(func)
    if name in ("sum", "mean", "linalg_vector_norm") and _is_wide(args[0]):
        axes = _by_name(func, args, kwargs).get("dim")
        every = range(args[0].dim())
        return terms_alike(_host(args[0]), [axes] if isinstance(axes, int) else axes or every, dtype)
    if name == "convolution_backward" and result.shape == args[0].shape[1:2]:  # the gradient of its bias
        return terms_alike(_host(args[0]), [0, *range(2, args[0].dim())], dtype)
    return _terms(func, args, result)


def _terms(func: Any, args: Any, result: torch.Tensor) -> float:
    """How many terms each element of a result is the sum of."""
    tensors = [value for value in args if isinstance(value, torch.Tensor)]
    name = _name(func)
    if name in ("mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot"):
        return float(tensors[-1].shape[-2] if tensors[-1].dim() > 1 else tensors[-1].shape[-1])
    if name.startswith("_fft"):
        return terms_of_transform(max(args[0].shape[axis], result.shape[axis]) for axis in args[1])
    if name.startswith("convolution") and len(tensors) > 1:
        return max(1.0, tensors[1].numel() / max(1, tensors[1].shape[0]))
    return max(1.0, max((t.numel() for t in tensors), default=1) / result.numel())


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

"""How PyTorch's operations round: what returns its operands does not, sums do as often as they have terms."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_leaves

from ...natives.torch import NATIVE
from ...networks.dtypes import Array, DType
from ..complexes import terms_of_transform
from ..kernels import COLUMNS, ELIMINATING, ORTHOGONAL, RANKED, SYMMETRIC, TRIANGULAR
from ..likeness import terms_alike
from ..squares import squares_of_product, squares_of_sum
from ..sums import Again

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

SUMMING = {
    *("sum", "mean", "mm", "bmm", "addmm", "addbmm", "baddbmm", "mv", "addmv", "dot", "convolution"),
}
"""Operations that add up their inputs, or products of them."""

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


def name_of(func: Any) -> str:
    name: str = func._schema.name
    return name.removeprefix("aten::")


def _by_name(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What an operation is given, by the names of its arguments."""
    defaults = {argument.name: argument.default_value for argument in func._schema.arguments}
    return {**defaults, **dict(zip(defaults, args, strict=False)), **kwargs}


def draws(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether an operation draws random numbers; one that can drop out draws none where it drops nothing."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return False
    return bool(_by_name(func, args, kwargs).get("dropout_p") != 0)


def rounds_nothing(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether an operation is exact, as it is used."""
    name = name_of(func).rstrip("_")
    if name == "linalg_vector_norm":
        return bool(abs(_by_name(func, args, kwargs)["ord"]) == float("inf"))
    if name in REDUCING:
        return _by_name(func, args, kwargs)["reduce"] in ("amax", "amin", "max", "min")
    if name in ROUNDING_IF_TOLD:
        return not _by_name(func, args, kwargs).get(ROUNDING_IF_TOLD[name])
    return name in EXACT and not (name in ("abs", "sgn") and args[0].is_complex())


def is_indexed_sum(name: str, args: Any, kwargs: Any) -> bool:
    if name == "scatter_reduce":
        return bool(args[4] == "sum")
    if name == "embedding_dense_backward":
        return not args[4]  # else divided by how many there are
    return name in INDEXED and not (kwargs and "alpha" in kwargs)


def is_wide(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype is torch.float64 and not value.is_meta


def is_complex(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype is torch.complex128


def host(tensor: torch.Tensor) -> Array:
    array: Array = tensor.numpy(force=True)
    return array


def floats(args: Any) -> list[Any]:
    """The floating-point numbers that an operation was given, those in lists too."""
    leaves = tree_leaves(args)
    return [
        host(leaf) if is_wide(leaf) else leaf for leaf in leaves if is_wide(leaf) or isinstance(leaf, float)
    ]


def again(func: Any, args: Any) -> Again:
    """An operation once more, on parts of its inputs that are numbers."""

    def done(part: Callable[[Array], Array]) -> Array:
        parts = [NATIVE.array(part(host(a))).to(a.device) if is_wide(a) else a for a in args]
        return host(func.overloadpacket(*parts).double())

    return done


def terms_alike_of(
    func: Any, args: Any, kwargs: Mapping[str, Any], result: torch.Tensor, dtype: DType
) -> float:
    """As `terms_of`; of plain sums, as many as would err like these if all differed."""
    name = name_of(func)
    if name in ("sum", "mean", "linalg_vector_norm") and is_wide(args[0]):
        return terms_alike(host(args[0]), _axes(func, args, kwargs), dtype)
    if name == "convolution_backward" and result.shape == args[0].shape[1:2]:  # the gradient of its bias
        return terms_alike(host(args[0]), [0, *range(2, args[0].dim())], dtype)
    return terms_of(func, args, result)


def squares_of(func: Any, args: Any, kwargs: Mapping[str, Any], result: torch.Tensor) -> Array | None:
    """What `Rounding.of_result` takes of an operation that adds up its inputs, or products of them."""
    name = name_of(func).rstrip("_")
    if name == "convolution_backward":
        of_bias = result.shape == args[0].shape[1:2]
        return squares_of_sum(host(args[0]), [0, *range(2, args[0].dim())]) if of_bias else None
    if name not in SUMMING or kwargs.keys() - {"alpha", "beta"}:
        return None
    if name in ("sum", "mean"):
        count = args[0].numel() / max(1, result.numel()) if name == "mean" else 1
        return squares_of_sum(host(args[0]) / count, _axes(func, args, {})).reshape(result.shape)
    if name == "convolution":
        squares: Array = again(func, args)(np.square)
        return squares
    *added, left, right = map(host, args)
    right = right if right.ndim > 1 else right[:, None]
    if name == "addbmm":  # the sum over the batch as well
        left, right = np.concatenate(list(left), axis=1), np.concatenate(list(right))
    squares = squares_of_product(np.atleast_2d(left), right).reshape(result.shape)
    squares = squares * kwargs.get("alpha", 1) ** 2
    # What is added comes first: every partial sum is as large as that, not a third of them in the mean.
    return squares + 3 * np.square(kwargs.get("beta", 1) * added[0]) if added else squares


def _axes(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Sequence[int]:
    """Those along which a sum or a mean is taken."""
    given = _by_name(func, args, kwargs).get("dim")
    return [given] if isinstance(given, int) else given or range(args[0].dim())


def terms_of(func: Any, args: Any, result: torch.Tensor) -> float:
    """How many terms each element of a result is the sum of."""
    tensors = [value for value in args if isinstance(value, torch.Tensor)]
    name = name_of(func).rstrip("_")
    if name == "addbmm":
        return float(tensors[1].shape[0] * tensors[1].shape[2])
    if name in ("mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot"):
        return float(tensors[-1].shape[-2] if tensors[-1].dim() > 1 else tensors[-1].shape[-1])
    if name.startswith("_fft"):
        return terms_of_transform(max(args[0].shape[axis], result.shape[axis]) for axis in args[1])
    if name.startswith("convolution") and len(tensors) > 1:
        return max(1.0, tensors[1].numel() / max(1, tensors[1].shape[0]))
    return max(1.0, max((t.numel() for t in tensors), default=1) / result.numel())

"""Operations without rounding errors: reruns leave their results as they are, and what an index chooses."""

from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.frameworks import jax_rounds, torch_rounds
from crossgrad.functions.frameworks import numpy as in_numpy
from crossgrad.functions.frameworks import torch as in_torch
from crossgrad.functions.frameworks.jax_interpreter import Interpreter
from crossgrad.functions.rounding import Rounding
from crossgrad.networks.dtypes import find_dtype

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp, lax = jax.numpy, jax.lax
checkpoint_name = pytest.importorskip("jax.ad_checkpoint").checkpoint_name

X, Y = 3 * np.random.default_rng(0).normal(size=(2, 4, 4))
ROWS = np.array([2, 0, 1, 1])


def rounding() -> Rounding:
    return Rounding(find_dtype("float32"), seed=1)


def watched(array: Any) -> Any:
    return in_numpy._watched(np.array(array), rounding())


def same(one: Any, other: Any) -> bool:
    """Whether arrays, or lists of them, are equal bit for bit."""
    some, others = (v if isinstance(v, tuple | list) else [v] for v in (one, other))
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in zip(some, others, strict=True))


@pytest.mark.parametrize("name", sorted(in_numpy.EXACT))
def test_numpy(name: str) -> None:
    function = getattr(np, name)
    operands = (X, -1.3, 2.1) if name == "clip" else (X, Y)[: function.nin]
    plain = function(*operands)
    assert same(function(*map(watched, operands)), plain)
    outs = tuple(watched(np.zeros_like(part)) for part in (plain if isinstance(plain, tuple) else [plain]))
    found = function(*map(watched, operands), out=outs if len(outs) > 1 else outs[0])
    assert same(found, plain)


def test_numpy_rounds_to_integers_by_these() -> None:
    for function in (np.round, np.fix, np.trunc, lambda x: x // 0.7, lambda x: divmod(x, 0.7)[0]):
        assert same(function(watched(X)), function(X))
    for function in (lambda x: divmod(x, -0.7)[1], lambda x: x % -0.7):
        assert not same(function(watched(X)), function(X))


x, y, rows = torch.tensor(X), torch.tensor(Y), torch.tensor(ROWS)
IMAGE, VOLUME = x[None], x.reshape(1, 1, 2, 2, 4)
CUBE = torch.stack([x, y, -x, -y])[None]
POOLED = torch.nn.functional.max_pool2d(IMAGE, 2, return_indices=True)
POOLED_VOLUME = torch.nn.functional.max_pool3d(VOLUME, 2, return_indices=True)
MASK = y > 0

TORCH: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("max", "min", "amax", "amin", "aminmax", "sort", "median", "nanmedian"), (x,)),
    **dict.fromkeys(("mode", "abs", "neg", "conj_physical", "_conj_physical", "relu", "hardtanh"), (x,)),
    **dict.fromkeys(("nan_to_num", "floor", "ceil", "round", "trunc", "frac", "frexp", "sign"), (x,)),
    **dict.fromkeys(("sgn", "clone", "tril", "triu", "rot90", "diag_embed"), (x,)),
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin", "copysign", "heaviside", "fmod"), (x, y)),
    **dict.fromkeys(("nextafter", "complex", "copy"), (x, y)),
    **{"clamp": (x, -1.3, 2.1), "clamp_min": (x, 0.3), "clamp_max": (x, 0.3)},
    **{"cummax": (x, 0), "cummin": (x, 0), "topk": (x, 2), "kthvalue": (x, 2)},
    **{"gather": (x, 0, rows[None]), "index_select": (x, 0, rows), "index": (x, [rows])},
    **{"where": (MASK, x, y), "take": (x, rows), "masked_select": (x, MASK), "embedding": (x, rows)},
    **{"threshold_backward": (x, y, 0.3), "hardtanh_backward": (x, y, -1.3, 2.1)},
    **{"max_pool2d_with_indices": (IMAGE, [2, 2]), "max_pool3d_with_indices": (VOLUME, [2, 2, 2])},
    **{"adaptive_max_pool2d": (IMAGE, [2, 2]), "adaptive_max_pool3d": (VOLUME, [1, 2, 2])},
    "fractional_max_pool2d": (IMAGE[None], [2, 2], [2, 2], torch.full((1, 1, 2), 0.5).double()),
    "fractional_max_pool3d": (CUBE, [2] * 3, [2] * 3, torch.full((1, 1, 3), 0.5).double()),
    **{"fill": (x, 0.75), "masked_fill": (x, MASK, 0.75), "index_fill": (x, 0, rows, 0.75)},
    **{"constant_pad_nd": (x, [1, 1], 0.75), "scatter": (x, 0, rows[None], y)},
    **{"cat": ([x, y],), "stack": ([x, y],), "block_diag": ([x, y],), "repeat": (x, [2, 1])},
    **{"narrow_copy": (x, 0, 1, 2), "_unsafe_view": (x, [2, 8]), "roll": (x, [1], [0]), "flip": (x, [0])},
    **{"pixel_shuffle": (x.view(4, 2, 2), 2), "pixel_unshuffle": (IMAGE, 2)},
    "channel_shuffle": (x.view(1, 4, 2, 2), 2),
    **{"masked_scatter": (x, MASK, y), "index_copy": (x, 0, rows, y), "select_scatter": (x, y[0], 0, 0)},
    **{"slice_scatter": (x, y[:2], 0, 0, 2), "diagonal_scatter": (x, y[0])},
    "as_strided_scatter": (x, y[0], [4], [1]),
    **{"slice_backward": (x, [6, 4], 0, 0, 4, 1), "select_backward": (x[0], [4, 4], 0, 0)},
    "diagonal_backward": (x[0], [4, 4], 0, 0, 1),
    "im2col": (IMAGE, [2, 2], [1, 1], [0, 0], [1, 1]),
    "max_unpool2d": (*POOLED, [4, 4]),
    "max_unpool3d": (*POOLED_VOLUME, [2, 2, 4], [2, 2, 2], [0, 0, 0]),
    **{f"{kind}_pad1d": (x, [1, 1]) for kind in ("reflection", "replication")},
    **{f"{kind}_pad2d": (IMAGE, [1, 1, 1, 1]) for kind in ("reflection", "replication")},
    **{f"{kind}_pad3d": (VOLUME, [1, 1, 1, 1, 1, 1]) for kind in ("reflection", "replication")},
    **{f"{kind}1d": (IMAGE, [8]) for kind in ("upsample_nearest", "_upsample_nearest_exact")},
    **{f"{kind}2d": (IMAGE[None], [8, 8]) for kind in ("upsample_nearest", "_upsample_nearest_exact")},
    **{f"{kind}3d": (VOLUME, [2, 4, 8]) for kind in ("upsample_nearest", "_upsample_nearest_exact")},
    **{"index_put": (x, [rows], y), "_unsafe_index_put": (x, [rows], y), "put": (x, rows, y[0])},
    "_index_put_impl": (x, [rows], y),
    **{"floor_divide": (x, y)},
}
"""What operations are given, by their names in ATen."""


def test_all_of_torch_s_are_tried() -> None:
    assert set(torch_rounds.EXACT) | set(torch_rounds.ROUNDING_IF_TOLD) <= set(TORCH)


@pytest.mark.parametrize("name", TORCH)
def test_torch(name: str) -> None:
    plain = getattr(torch.ops.aten, name)(*TORCH[name])
    with in_torch.RandomRounding(rounding()):
        found = getattr(torch.ops.aten, name)(*TORCH[name])
    assert same(found, plain)


@pytest.mark.parametrize("mode", ["floor", "trunc"])
def test_torch_divides_to_integers(mode: str) -> None:
    def quotients() -> Any:
        return torch.div(x, y, rounding_mode=mode), x.clone().floor_(), x.clone().floor_divide_(y)

    plain = quotients()
    with in_torch.RandomRounding(rounding()):
        found = quotients()
    assert same(found, plain)


def test_torch_rounds_if_told_and_constants() -> None:
    def results() -> Any:
        multiplied = x.scatter(0, rows[None], 0.3, reduce="multiply")
        return x.round(decimals=1), multiplied, x.masked_fill(MASK, 0.3), x.sgn() * (1 / 3)

    plain = results()
    with in_torch.RandomRounding(rounding()):
        found = results()
    assert not any(map(same, found, plain))


SEGMENTS = jnp.array(ROWS)

JAX: dict[str, Any] = {
    **{"max": lax.max, "min": lax.min, "clamp": lambda x, y: lax.clamp(-1.3, x, 2.1)},
    **{"reduce_max": lambda x, y: x.max(0), "reduce_min": lambda x, y: x.min(0)},
    **{"cummax": lambda x, y: lax.cummax(x), "cummin": lambda x, y: lax.cummin(x)},
    **{"sort": lambda x, y: lax.sort(x), "select_n": lambda x, y: lax.select(x > 0, x, y)},
    "reduce_window_max": lambda x, y: lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (2, 2), "VALID"),
    "reduce_window_min": lambda x, y: lax.reduce_window(x, jnp.inf, lax.min, (2, 2), (2, 2), "VALID"),
    "broadcast_in_dim": lambda x, y: lax.broadcast(x, (2,)),
    **{"reshape": lambda x, y: x.reshape(2, 8), "squeeze": lambda x, y: lax.squeeze(x[:, :1], (1,))},
    **{"transpose": lambda x, y: x.T, "rev": lambda x, y: x[::-1], "slice": lambda x, y: x[1:3]},
    "dynamic_slice": lambda x, y: lax.dynamic_slice(x, (SEGMENTS[1], SEGMENTS[1]), (2, 4)),
    "dynamic_update_slice": lambda x, y: lax.dynamic_update_slice(x, y[:2], (SEGMENTS[2], SEGMENTS[1])),
    "concatenate": lambda x, y: jnp.concatenate([x, y]),
    **{"copy": lambda x, y: jnp.array(x, copy=True), "abs": lambda x, y: abs(x), "neg": lambda x, y: -x},
    **{"gather": lambda x, y: x[SEGMENTS], "scatter": lambda x, y: x.at[SEGMENTS[:3]].set(y[:3])},
    "scatter-max": lambda x, y: x.at[SEGMENTS].max(y),
    "scatter-min": lambda x, y: x.at[SEGMENTS].min(y),
    "pad": lambda x, y: lax.pad(x, 0.75, ((1, 1, 0), (1, 1, 0))),
    **{"real": lambda x, y: lax.complex(x, y).real, "imag": lambda x, y: lax.complex(x, y).imag},
    **{"complex": lax.complex, "conj": lambda x, y: lax.conj(lax.complex(x, y))},
    **{"top_k": lambda x, y: lax.top_k(x, 2)[0], "split": lambda x, y: jnp.split(x, [1])},
    **{"stack": lambda x, y: jnp.stack([x, y]), "unstack": lambda x, y: jnp.unstack(x)},
    **{"tile": lambda x, y: jnp.tile(x, (2, 1)), "device_put": lambda x, y: jax.device_put(x)},
    "optimization_barrier": lambda x, y: lax.optimization_barrier(x),
    **{"stop_gradient": lambda x, y: lax.stop_gradient(x), "name": lambda x, y: checkpoint_name(x, "kept")},
    **{"floor": lambda x, y: jnp.floor(x), "ceil": lambda x, y: jnp.ceil(x), "round": lambda x, y: x.round()},
    **{"sign": lambda x, y: jnp.sign(x), "rem": lax.rem, "nextafter": lax.nextafter},
}
"""Functions of two matrices that consist of an operation, by its name."""


def test_all_of_jax_s_are_tried() -> None:
    assert set(JAX) == jax_rounds.EXACT


@pytest.mark.parametrize("name", JAX)
def test_jax(name: str) -> None:
    with jax.enable_x64(True):
        program = jax.make_jaxpr(JAX[name])(*map(jnp.array, (X, Y)))
        if name not in str(program):
            pytest.skip("this JAX makes it of other operations")
        found = Interpreter(rounding(), {}, is_traced=False).evaluate(program, [X, Y])
        assert same(found, jax.tree.leaves(JAX[name](*map(jnp.array, (X, Y)))))


def test_quotients_are_rounded_where_the_format_has_not_all_integers() -> None:
    small, large = np.array([3.0, -0.0, 2.0**24, -np.inf]), np.array([2.0**24 + 1, -(2.0**30)])
    moved = rounding().of_quotient(np.concatenate([small, large]))
    assert same(moved[:4], small)
    assert not np.any(moved[4:] == large)


PLACES = np.array([0.3, 1.7, 2.2, 2.6, 4.4, 5.1])


def by_numpy(index: Any, factor: float, name: str) -> Any:
    def gradient(w: Any, x: Any) -> Any:
        i = index(x).astype(int)
        dw = np.zeros_like(w)
        np.add.at(dw, i, 2 * w[i] * x * x)
        return ((w[i] * x) ** 2).sum(), w.dtype.type(factor) * dw

    return crossgrad.gradient(gradient, "numpy", name)


def by_torch(index: Any, factor: float, name: str) -> Any:
    def gradient(w: Any, x: Any) -> Any:
        leaf = w.detach().requires_grad_()
        loss = ((leaf[index(x).long()] * x) ** 2).sum()
        return loss.detach(), factor * torch.autograd.grad(loss, leaf)[0]

    return crossgrad.gradient(gradient, "torch", name)


def by_jax(index: Any, factor: float, name: str) -> Any:
    def gradient(w: Any, x: Any) -> Any:
        loss, dw = jax.value_and_grad(lambda w: ((w[index(x).astype(int)] * x) ** 2).sum())(w)
        return loss, factor * dw

    return crossgrad.gradient(gradient, "jax", name)


LOOKUPS = {
    **{f"numpy {f.__name__}": (by_numpy, f) for f in (np.floor, np.ceil, np.rint, np.trunc, np.round)},
    "numpy //": (by_numpy, lambda x: x // 1),
    **{f"torch {f.__name__}": (by_torch, f) for f in (torch.floor, torch.ceil, torch.round, torch.trunc)},
    "torch //": (by_torch, lambda x: x // 1),
    **{f"jax {f.__name__}": (by_jax, f) for f in (jnp.floor, jnp.ceil, jnp.round, jnp.trunc)},
    "jax //": (by_jax, lambda x: x // 1),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lookup", LOOKUPS)
def test_a_gradient_of_rows_that_floors_choose_is_judged(lookup: str, dtype: str) -> None:
    """Where 2.0 became 1.9999999 the reruns took other rows, and whatever was given passed."""
    make, index = LOOKUPS[lookup]
    args = np.random.default_rng(0).normal(size=7), PLACES
    right = make(index, 1.0, "right")
    for factor, verdict in ((1.0, "agree"), (1.01, "disagree")):
        other = make(index, factor, "other")
        report = crossgrad.compare_gradients(right, other, args=args, argnums=0, dtype=dtype)
        assert report.verdict == verdict, str(report)


def test_a_softmax_over_a_row_that_is_all_masked_is_judged() -> None:
    """JAX subtracts a maximum that no gradient goes through: rounded alone, it is far from the others'."""
    shown = np.ones((4, 5), bool)
    shown[2] = shown[0, 3] = False
    z = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    least, mask = float(np.finfo(np.float32).min), torch.tensor(shown)

    def by_jax(z: Any) -> Any:
        return ((jax.nn.softmax(jnp.where(shown, z, least)) * shown) ** 2).sum()

    def by_torch(z: Any) -> Any:
        return ((torch.softmax(torch.where(mask, z, least), -1) * mask) ** 2).sum()

    functions = crossgrad.loss(by_jax, "jax"), crossgrad.loss(by_torch, "torch")
    assert crossgrad.compare_gradients(*functions, args=(z,)).verdict == "agree"

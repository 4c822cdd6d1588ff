"""Functions that name the arguments' dtype, or the default one, run in float64 all the same."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import crossgrad

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp, lax = jax.numpy, jax.lax

Loss = Callable[..., Any]
DRAW = np.random.default_rng(0)
ARGS = {"W": DRAW.normal(size=(4, 4)), "U": DRAW.normal(size=(3, 4)), "x": DRAW.normal(size=(6, 5, 3))}
IDS = np.array([0, 3, 3, 1, 2])


def by_hand(p: Any, zeros: Any, tanh: Any) -> Any:
    h = zeros
    for x in p["x"]:
        h = tanh(0.9 * (x @ p["U"]) + h @ p["W"])
    return (h**2).sum()


def default_dtype(p: Any) -> Any:
    return by_hand(p, torch.zeros(5, 4), torch.tanh)


def named(p: Any) -> Any:
    return by_hand(p, torch.zeros(5, 4, dtype=torch.float32), torch.tanh)


def converted(p: Any) -> Any:
    return by_hand(p, torch.zeros(5, 4, dtype=torch.int64).float(), torch.tanh)


def drawing(p: Any) -> Any:
    torch.manual_seed(0)
    return by_hand(p, torch.zeros(5, 4) + 0 * torch.randn(5, 4), torch.tanh)


def scanned(p: Any, dtype: Any = jnp.float32) -> Any:
    def turn(h: Any, x: Any) -> Any:
        return jnp.tanh(0.9 * (x @ p["U"]) + h @ p["W"]), None

    h, _ = lax.scan(turn, jnp.zeros((5, 4), dtype), p["x"])
    return (h**2).sum()


def counted(p: Any) -> Any:
    """A start that a loop and a branch give."""

    def turn(state: Any) -> Any:
        number, h = state
        return number + 1, lax.cond(number % 2 == 0, lambda h: h, lambda h: h * 1, h)

    _, start = lax.while_loop(lambda s: s[0] < 4, turn, (0, jnp.zeros((5, 4), jnp.float32)))
    return by_hand(p, lax.stop_gradient(start), jnp.tanh)


def looked_up(p: Any) -> Any:
    """The gradient of rows that an index chose is a sum by index, an operation that holds a program."""
    start, _ = lax.scan(lambda h, x: (h + 0 * x.sum(), None), jnp.zeros((5, 4), jnp.float32), p["x"])
    return by_hand(p, start, jnp.tanh) + p["W"][IDS].sum() - p["W"][IDS].sum()


ALIKE = [
    *(pytest.param(f, "torch", id=f.__name__) for f in (default_dtype, named, converted, drawing)),
    *(pytest.param(f, "jax", id=f.__name__) for f in (scanned, counted, looked_up)),
]
BLAMED = [
    pytest.param(*one.values, id=one.id, marks=() if one.id in ("named", "scanned") else pytest.mark.slow)
    for one in ALIKE
]


def plain(p: Any) -> Any:
    return by_hand(p, torch.zeros_like(p["x"][0] @ p["U"]), torch.tanh)


@pytest.mark.parametrize(("loss", "framework"), ALIKE)
def test_they_have_a_reference(loss: Loss, framework: str) -> None:
    before = torch.get_default_dtype(), jax.config.jax_enable_x64
    report = crossgrad.compare_gradients(
        crossgrad.loss(loss, framework, "one"),
        crossgrad.loss(plain, "torch", "plain"),
        args=(ARGS,),
        dtype="float32",
    )
    assert report.verdict == "agree", str(report)
    assert not [note for note in report.notes if "reference" in note]
    assert (torch.get_default_dtype(), jax.config.jax_enable_x64) == before


@pytest.mark.parametrize(("loss", "framework"), BLAMED)
def test_one_that_is_wrong_is_blamed(loss: Loss, framework: str) -> None:
    """By differences in float64, for which there was no float64 before."""

    def wrong(p: Any) -> Any:
        right = loss(p)
        stopped = p["W"].detach() if framework == "torch" else lax.stop_gradient(p["W"])
        return right + 0.01 * ((p["W"] - stopped) ** 2 + p["W"] - stopped).sum()

    report = crossgrad.compare_gradients(
        crossgrad.loss(wrong, framework, "wrong"),
        crossgrad.loss(plain, "torch", "plain"),
        args=(ARGS,),
        dtype="float32",
    )
    assert (report.verdict, [blame.function for blame in report.blames]) == ("disagree", ["wrong"]), str(
        report
    )


def test_a_number_of_the_code_is_what_was_written() -> None:
    """In bfloat16 0.9 is 0.8984, a difference that would show where results in float64 are compared."""
    in_bfloat16 = partial(scanned, dtype=jnp.bfloat16)
    functions = crossgrad.loss(in_bfloat16, "jax", "one"), crossgrad.loss(plain, "torch", "plain")
    report = crossgrad.compare_gradients(*functions, args=(ARGS,), dtype="bfloat16")
    assert (report.verdict, report.notes) == ("agree", ()), str(report)


def test_what_is_of_another_dtype_for_good_is_said() -> None:
    """A tensor of the user's own is what it is."""
    held = torch.zeros(5, 4)
    report = crossgrad.compare_gradients(
        crossgrad.loss(lambda p: by_hand(p, held, torch.tanh), "torch", "holding"),
        crossgrad.loss(plain, "torch", "plain"),
        args=(ARGS,),
        dtype="float32",
    )
    (note,) = report.notes
    assert "no float64 reference: holding raised" in note
    assert "Convert them" in note


def hf_attention(p: Any) -> Any:
    """Scores of which the softmax is in float32, as models that are trained in bfloat16 have it."""
    seen = torch.ones(6, 6, dtype=torch.bool).tril()
    scores = (p["q"] @ p["k"].mT).masked_fill(~seen, -float("inf"))
    return ((torch.softmax(scores, -1, dtype=torch.float32).to(scores.dtype) @ p["v"]) ** 2).sum()


def jax_attention(p: Any) -> Any:
    """JAX's own, which computes its softmax in float32 too."""
    q, k, v = (p[name][:, None] for name in "qkv")
    return (jax.nn.dot_product_attention(q, k, v, scale=1.0, is_causal=True) ** 2).sum()


def plain_attention(p: Any) -> Any:
    scores = p["q"] @ p["k"].T + jnp.where(jnp.tril(jnp.ones((6, 6), bool)), 0.0, -1e9).astype(p["q"].dtype)
    return ((jax.nn.softmax(scores, -1) @ p["v"]) ** 2).sum()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("loss", "framework"), [(hf_attention, "torch"), (jax_attention, "jax")])
def test_what_is_computed_in_the_dtype_by_name_is_not_in_float64(
    loss: Loss, framework: str, seed: int
) -> None:
    """Or nothing would be rounded there at random: what cancels in the first row would be without noise."""
    draw = np.random.default_rng(seed)
    args = ({name: draw.normal(size=(6, 8)) for name in "qkv"},)
    functions = crossgrad.loss(loss, framework, "one"), crossgrad.loss(plain_attention, "jax", "plain")
    report = crossgrad.compare_gradients(*functions, args=args, dtype="float32")
    assert (report.verdict, report.notes) == ("agree", ()), str(report)


@pytest.mark.parametrize("std", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_eps_that_is_the_dtypes_own_stays_that(dtype: str, std: float) -> None:
    """In float64 it would be another function; half formats have float32's."""
    norm = torch.nn.RMSNorm(16, elementwise_affine=False)

    def by_name(x: Any) -> Any:
        return jnp.sin(x * lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 2.0**-23)).sum()

    report = crossgrad.compare_gradients(
        crossgrad.loss(lambda x: torch.nn.functional.rms_norm(x, (16,)).sin().sum(), "torch", "function"),
        crossgrad.loss(lambda x: norm(x).sin().sum(), "torch", "module"),
        crossgrad.loss(by_name, "jax", "jax"),
        args=(std * np.random.default_rng(0).normal(size=(8, 16)),),
        dtype=dtype,
    )
    assert (report.verdict, report.blames) == ("agree", ()), str(report)

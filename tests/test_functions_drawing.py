"""Functions that draw random numbers in the arguments' dtype: in float64 they are other functions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad

DRAW = np.random.default_rng(0)
ARGS = DRAW.normal(size=5).astype(np.float32), DRAW.normal(size=(20, 5)).astype(np.float32)


def plain(w: Any, x: Any) -> Any:
    return ((x @ w) ** 2).mean()


def by_hand(w: Any, x: Any) -> Any:
    return plain(w, x), 2 * x.T @ (x @ w) / len(x)


def mask_in_jax(w: Any, x: Any) -> Any:
    import jax

    return plain(w, 2 * x * jax.random.bernoulli(jax.random.key(0), 0.5, x.shape))


def noise_in_jax(w: Any, x: Any) -> Any:
    import jax

    return plain(
        w, x + jax.jit(jax.random.normal, static_argnums=(1, 2))(jax.random.key(0), x.shape, x.dtype)
    )


def noise_in_torch(w: Any, x: Any) -> Any:
    import torch

    torch.manual_seed(0)
    return plain(w, x + torch.randn_like(x))


DRAWING = [
    pytest.param(mask_in_jax, "jax", "random_bits", id="jax-bernoulli", marks=pytest.mark.slow),
    pytest.param(noise_in_jax, "jax", "random_bits", id="jax-normal"),
    pytest.param(noise_in_torch, "torch", "randn_like", id="torch-randn_like"),
]


@pytest.mark.parametrize(("f", "framework", "operation"), DRAWING)
def test_two_that_draw_alike_agree_in_the_dtype(
    f: Callable[..., Any], framework: str, operation: str
) -> None:
    pytest.importorskip(framework)
    both = crossgrad.loss(f, framework, "one"), crossgrad.loss(f, framework, "other")
    report = crossgrad.compare_gradients(*both, args=ARGS)
    assert (report.verdict, report.blames) == ("agree", ()), str(report)
    assert f"one draws random numbers ({operation}), and others in float64 than in float32" in str(report)


@pytest.mark.parametrize(("f", "framework", "operation"), DRAWING[1:])
def test_one_that_draws_is_found_beside_another_and_nobody_blamed(
    f: Callable[..., Any], framework: str, operation: str
) -> None:
    pytest.importorskip(framework)
    one = crossgrad.loss(f, framework, "drawing")
    report = crossgrad.compare_gradients(one, crossgrad.gradient(by_hand, "numpy", "plain"), args=ARGS)
    assert (report.verdict, report.blames) == ("disagree", ())
    other = crossgrad.loss(lambda *args: f(*args) + 0.1 * args[0].sum(), framework, "other")
    assert crossgrad.compare_gradients(one, other, args=ARGS).verdict == "disagree"


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in-a-dict"])
def test_a_key_among_the_arguments_is_passed_on(inside: bool) -> None:
    """`jax.random.key` makes arrays that hold no numbers."""
    jax = pytest.importorskip("jax")

    def masked(w: Any, x: Any, streams: Any) -> Any:
        key = streams["mask"] if inside else streams
        return plain(w, 2 * x * jax.random.bernoulli(key, 0.5, x.shape))

    key = jax.random.key(0)
    both = crossgrad.loss(masked, "jax", "one"), crossgrad.loss(masked, "jax", "other")
    report = crossgrad.compare_gradients(*both, args=(*ARGS, {"mask": key} if inside else key))
    assert report.verdict == "agree", str(report)
    with pytest.raises(crossgrad.InvalidInput, match="move it to an argument that argnums leaves out"):
        crossgrad.compare_gradients(*both, args=(*ARGS, key), argnums=2)


def drawing_in_numpy(w: Any, x: Any) -> Any:
    return by_hand(w, x + np.random.default_rng(0).standard_normal(x.shape, dtype=x.dtype))


def test_draws_that_are_not_shown_are_undecidable() -> None:
    both = [crossgrad.gradient(drawing_in_numpy, "numpy", name) for name in ("one", "other")]
    report = crossgrad.compare_gradients(*both, args=ARGS)
    assert (report.verdict, report.blames) == ("undecidable", ())
    assert "random numbers drawn in the arguments' dtype" in str(report)


def test_a_wrong_gradient_beside_draws_that_are_not_shown_is_blamed_by_its_slope() -> None:
    def wrong(w: Any, x: Any) -> Any:
        loss, gradient = drawing_in_numpy(w, x)
        return loss, 1.5 * gradient

    both = crossgrad.gradient(drawing_in_numpy, "numpy", "one"), crossgrad.gradient(wrong, "numpy", "wrong")
    (blame,) = crossgrad.compare_gradients(*both, args=ARGS).blames
    assert blame.function == "wrong"
    assert "not the slope of its own loss" in blame.evidence


def test_what_loses_precision_in_the_dtype_is_still_blamed() -> None:
    """Beside one that does not; and beside another that loses as much, which makes neither right."""

    def lossy(w: Any, x: Any) -> Any:
        loss, gradient = by_hand(w, x)
        return (loss, gradient) if w.dtype == np.float64 else (loss, gradient * (1 + np.float32(2e-3)))

    one, other = (crossgrad.gradient(lossy, "numpy", name) for name in ("lossy", "lossy too"))
    right = crossgrad.gradient(by_hand, "numpy", "right")
    assert [b.function for b in crossgrad.compare_gradients(one, right, args=ARGS).blames] == ["lossy"]
    both = crossgrad.compare_gradients(one, other, args=ARGS)
    assert [blame.function for blame in both.blames] == ["lossy", "lossy too"]


@pytest.mark.parametrize("beside", ["as lossy", "exact"])
def test_a_constant_that_all_have_rounded_is_nobodys_fault(beside: str) -> None:
    """1 - 0.999 in float32: 1e-5 off, which a function that computes it in float64 shows."""

    def averaging(exact: bool) -> Any:
        def gradient(w: Any, x: Any) -> Any:
            decay = 0.999 if exact else w.dtype.type(0.999)
            loss, found = by_hand(w, x)
            return w.dtype.type(1 - decay) * loss, w.dtype.type(1 - decay) * found

        return gradient

    one = crossgrad.gradient(averaging(exact=False), "numpy", "lossy")
    other = crossgrad.gradient(averaging(exact=beside == "exact"), "numpy", "other")
    report = crossgrad.compare_gradients(one, other, args=ARGS)
    if beside == "exact":
        assert [blame.function for blame in report.blames] == ["lossy"], str(report)
    else:
        assert (report.verdict, report.blames) == ("undecidable", ()), str(report)
        assert "all have lost the same precision here" in report.remarks[0]


def test_a_factor_that_a_function_has_to_itself_is_no_convention() -> None:
    """In float64 another factor than in the dtype: no named loss makes a function that of itself."""

    def branching(w: Any, x: Any) -> Any:
        loss, gradient = by_hand(w, x)
        factor = w.dtype.type(0.5 if w.dtype == np.float64 else 2)
        return factor * loss, factor * gradient

    ours = crossgrad.gradient(branching, "numpy", "branching"), crossgrad.gradient(by_hand, "numpy", "plain")
    report = crossgrad.compare_gradients(*ours, args=ARGS)
    verdicts = {(c.against, c.verdict) for c in report.comparisons if c.function == "branching"}
    assert verdicts == {("plain", "convention"), ("itself in float64", "disagree")}
    assert report.verdict == "disagree"


def test_attention_that_drops_nothing_draws_nothing() -> None:
    """PyTorch tags its fused kernel as one that draws, whatever its dropout is."""
    torch = pytest.importorskip("torch")
    attention = torch.nn.functional.scaled_dot_product_attention

    def plain(q: Any, k: Any) -> Any:
        return (torch.softmax(q @ k.mT / 2, -1) @ k).square().sum()

    q, k = np.random.default_rng(0).normal(size=(2, 1, 2, 8, 4)) * [[[[[1]]]], [[[[20]]]]]
    report = crossgrad.compare_gradients(
        crossgrad.loss(lambda q, k: attention(q, k, k).square().sum(), "torch", "fused"),
        crossgrad.loss(plain, "torch", "plain"),
        args=(q, k),
        argnums=(0, 1),
        dtype="float32",
    )
    assert not any("draws random numbers" in note for note in report.notes), str(report)

"""Largest elements and bounds: what returns one of its operands rounds nothing, and its kinks stay put."""

from typing import Any

import numpy as np
import pytest

import crossgrad

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

WEIGHTS = np.random.default_rng(0).normal(size=(5, 4))


def by_hand(of: Any, slope: Any) -> Any:
    """A NumPy function of the weights, times the weights' positions, and its gradient."""

    def gradients(w: Any, c: Any) -> Any:
        return (of(w) * c).sum(), slope(w) * c

    return crossgrad.gradient(gradients, "numpy", "by hand")


RELU = by_hand(lambda w: np.maximum(w, 0), lambda w: (w > 0).astype(w.dtype))
BOUNDED = by_hand(lambda w: np.clip(w, -1, 1), lambda w: (abs(w) < 1).astype(w.dtype))
LARGEST = by_hand(lambda w: w.max(0), lambda w: (w == w.max(0)).astype(w.dtype))

PAIRS = {
    "jax maximum": (RELU, crossgrad.loss(lambda w, c: (jax.numpy.maximum(w, 0) * c).sum(), "jax", "jax")),
    "jax clip": (BOUNDED, crossgrad.loss(lambda w, c: (jax.numpy.clip(w, -1, 1) * c).sum(), "jax", "jax")),
    "jax max": (LARGEST, crossgrad.loss(lambda w, c: (w.max(0) * c).sum(), "jax", "jax")),
    "torch clamp": (BOUNDED, crossgrad.loss(lambda w, c: (w.clamp(-1, 1) * c).sum(), "torch", "torch")),
    "torch amax": (LARGEST, crossgrad.loss(lambda w, c: (w.amax(0) * c).sum(), "torch", "torch")),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("pair", PAIRS)
def test_selection_makes_no_noise(pair: str, dtype: str) -> None:
    args = (WEIGHTS, np.arange(1.0, 5.0))
    report = crossgrad.compare_gradients(*PAIRS[pair], args=args, dtype=dtype)
    assert report.verdict == "agree", str(report)
    assert all(c.judgement.floor < 1e-4 for c in report.comparisons)


def test_a_subgradient_at_a_tie_is_told_apart() -> None:
    tie = np.array([-1.0, 0.0, 2.0])
    report = crossgrad.compare_gradients(
        crossgrad.loss(lambda w: (jax.numpy.maximum(w, 0) * 3).sum(), "jax", "jax"),
        crossgrad.loss(lambda w: (torch.relu(w) * 3).sum(), "torch", "torch"),
        args=(tie,),
    )
    assert not report.ok


def test_the_key_of_a_random_stream_may_be_a_constant() -> None:
    key = jax.random.key(0)

    def loss(w: Any) -> Any:
        return (w * jax.random.normal(key, w.shape, "float32")).sum()

    noise = np.asarray(jax.random.normal(key, (3,), "float32"))
    ours = crossgrad.gradient(lambda w: ((w * noise).sum(), noise.astype(w.dtype)), "numpy", "by hand")
    args = (np.array([1.0, 2.0, 3.0], np.float32),)
    assert crossgrad.compare_gradients(crossgrad.loss(loss, "jax", "jax"), ours, args=args).ok

"""Integers that are held as floats: labels, masks and counts are exact, and functions ask what they are."""

import warnings
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.rounding import is_exact
from crossgrad.networks.dtypes import DTYPES

from .conftest import load_or_skip

RNG = np.random.default_rng(5)
X, W = RNG.normal(size=(24, 3)), RNG.normal(size=(3, 4))
LABELS, FLAGS = RNG.integers(0, 4, 24).astype(float), (np.arange(24) % 3 > 0).astype(float)


def by_label(w: Any, x: Any, y: Any) -> Any:
    import torch

    return torch.nn.functional.cross_entropy(x @ w, y.long())


def by_label_by_hand(w: Any, x: Any, y: Any, factor: float) -> Any:
    at = np.arange(len(x)), y.astype(int)
    p = np.exp(x @ w)
    p /= p.sum(1, keepdims=True)
    loss = -np.log(p[at]).mean()
    p[at] -= 1
    return loss, x.dtype.type(factor) * (x.T @ (p / x.dtype.type(len(x))))


def by_flag(w: Any, x: Any, y: Any) -> Any:
    import torch

    return torch.nn.functional.binary_cross_entropy(torch.sigmoid((x @ w).sum(1)), y)


def by_flag_by_hand(w: Any, x: Any, y: Any, factor: float) -> Any:
    z = (x @ w).sum(1)
    s = 1 / (1 + np.exp(-z))
    dz = x.dtype.type(factor) * (s - (y == 1)) / x.dtype.type(len(x))
    return np.logaddexp(0, np.where(y == 1, -z, z)).mean(), np.repeat((x.T @ dz)[:, None], w.shape[1], 1)


def by_count(w: Any, x: Any, y: Any) -> Any:
    import torch

    count = int((y / 2 + torch.arange(24, dtype=y.dtype) * 0).sum() * 2)
    return (w * w).sum() * count


def by_count_by_hand(w: Any, x: Any, y: Any, factor: float) -> Any:
    count = w.dtype.type(int((y / 2).sum() * 2))
    return (w * w).sum() * count, w.dtype.type(2 * factor) * w * count


CODES = {
    "labels": (by_label, by_label_by_hand, LABELS),
    "flags": (by_flag, by_flag_by_hand, FLAGS),
    "counts": (by_count, by_count_by_hand, LABELS),
}


@pytest.mark.parametrize("factor", [1.0, 1.05], ids=["right", "wrong"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("codes", CODES)
def test_what_depends_on_codes_is_not_excused_by_their_noise(codes: str, dtype: str, factor: float) -> None:
    """If a label moved when it is rounded, another element would be taken: noise as large as the gradient."""
    load_or_skip("torch")
    theirs, by_hand, y = CODES[codes]
    report = crossgrad.compare_gradients(
        crossgrad.loss(theirs, "torch", "theirs"),
        crossgrad.gradient(lambda w, x, y: by_hand(w, x, y, factor), "numpy", "mine"),
        args=(W, X, y),
        dtype=dtype,
    )
    assert report.verdict == ("agree" if factor == 1.0 else "disagree")
    assert [blame.function for blame in report.blames] == (["mine"] if factor != 1.0 else [])
    assert not report.notes


def test_numbers_made_inside_are_exact_too() -> None:
    load_or_skip("jax")
    import jax.numpy as jnp

    def theirs(w: Any) -> Any:
        index = jnp.floor(jnp.arange(8, dtype=w.dtype) / 2).astype(int)
        return (w[index] * jnp.arange(8)).sum()

    def mine(w: Any) -> Any:
        index, dw = np.arange(8) // 2, np.zeros_like(w)
        np.add.at(dw, index, np.arange(8.0))
        return (w[index] * np.arange(8)).sum(), 1.5 * dw

    report = crossgrad.compare_gradients(
        crossgrad.loss(theirs, "jax", "theirs"), crossgrad.gradient(mine, "numpy", "mine"), args=(X[:4, 0],)
    )
    assert [blame.function for blame in report.blames] == ["mine"]


EXACT = {
    "count": (24.0, [FLAGS], True),
    "halves": ([0.0, 0.5, 1.0], [[0.0, 1.0, 2.0], 2.0], True),
    "made-of-nothing": ([0.0, 1.0, 2.0], [], True),
    "by-rounding": (1.0, [1.0, 4e-18], False),
    "thirds": ([0.0, 1 / 3], [[0.0, 1.0], 3.0], False),
    "one-of-many": (np.r_[np.zeros(1000), 0.1, np.zeros(1000)], [], False),
    "too-large": (2.0**24, [2.0**24], False),
    "infinite": ([0.0, -np.inf], [], False),
    "nan": (np.nan, [], False),
}
"""Results, operands, and whether nothing was rounded."""


@pytest.mark.parametrize(("result", "operands", "exact"), EXACT.values(), ids=EXACT)
def test_what_is_exact(result: Any, operands: list[Any], exact: bool) -> None:
    assert is_exact(np.asarray(result, float), operands, DTYPES["float32"]) == exact


@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_what_is_written_over_is_no_operand(framework: str) -> None:
    """1 + exp(-38) is 1 by rounding; in place, the operand that was looked at was the sum."""
    load_or_skip("torch")
    import torch

    def in_place(z: Any) -> Any:
        e = np.exp(-np.abs(z))
        e += 1
        return np.log(e).sum() + np.maximum(z, 0).sum(), 1 / (1 + np.exp(-z))

    def in_torch(z: Any) -> Any:
        return (torch.exp(-z.abs()).clone().add_(1).log() + z.clamp(min=0)).sum()

    wrong = {
        "numpy": crossgrad.gradient(in_place, "numpy", "mine"),
        "torch": crossgrad.loss(in_torch, "torch", "mine"),
    }
    report = crossgrad.compare_gradients(
        crossgrad.loss(lambda z: torch.nn.functional.softplus(z).sum(), "torch", "softplus"),
        wrong[framework],
        args=(np.array([-38.0]),),
    )
    assert report.verdict == "undecidable"


@pytest.mark.parametrize("offset", [0.0, 0.37], ids=["whole", "broken"])
def test_integers_that_are_data_have_their_noise_where_operations_are_not_seen(offset: float) -> None:
    """Positions and pixels: nothing else moves in what `np.asarray` takes out of sight."""
    frequency = 1e4 ** (-np.arange(1, 9) / 8)
    times = (np.arange(900, 1000) + offset).astype(np.float32)[:, None]

    def encoded(w: Any, t: Any, angles: Any) -> Any:
        w, t = np.asarray(w), np.asarray(t)
        waves = np.sin(angles(t))
        return (waves @ w).mean(), waves.mean(0)

    report = crossgrad.compare_gradients(
        crossgrad.gradient(
            lambda w, t: encoded(w, t, lambda t: t * frequency.astype(t.dtype)), "numpy", "times"
        ),
        crossgrad.gradient(
            lambda w, t: encoded(w, t, lambda t: t / (1 / frequency).astype(t.dtype)), "numpy", "over"
        ),
        args=(RNG.normal(size=8).astype(np.float32), times),
    )
    assert report.verdict == "agree"


def test_complex_numbers_are_rounded_without_a_warning() -> None:
    load_or_skip("jax")
    import jax.numpy as jnp

    def power(w: Any, x: Any) -> Any:
        return (jnp.abs(jnp.fft.fft(x @ w)) ** 2).mean()

    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        report = crossgrad.compare_gradients(
            crossgrad.loss(power, "jax", "one"), crossgrad.loss(power, "jax", "two"), args=(W, X)
        )
    assert (report.ok, report.notes) == (True, ())


def test_a_label_that_may_not_move_costs_no_noise_of_operations() -> None:
    """A function that checks its labels raises where they are moved: it is rerun with them as they are."""
    load_or_skip("torch")

    def strict(w: Any, x: Any, y: Any) -> Any:
        if not set(np.unique(y)) <= {0.0, 1.0}:
            raise ValueError("labels are 0 or 1")
        loss, dw = by_flag_by_hand(w, x, y, 1.0)
        return loss, np.array(dw, copy=True, subok=False)  # no longer seen

    report = crossgrad.compare_gradients(
        crossgrad.loss(by_flag, "torch", "theirs"), crossgrad.gradient(strict, "numpy"), args=(W, X, FLAGS)
    )
    assert (report.verdict, report.notes) == ("agree", ())

"""What a wrong gradient looks like, NaN and infinity, and what an assertion lets pass."""

from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.resemblance import some_of

from .functions import hand_written
from .test_functions import arguments, right

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("size", [1e-4, 1e-2, 0.5])
def test_one_element_that_is_a_little_wrong_is_no_other_order(size: float) -> None:
    def spoil(g: list[Any]) -> list[Any]:
        W = g[0][0].copy()
        W[1, 2] += size * abs(W).max()
        return [(W, g[0][1]), *g[1:]]

    wrong = crossgrad.gradient(hand_written(spoil), "numpy", "mine")
    (blame,) = crossgrad.compare_gradients(wrong, right("torch"), args=arguments()).blames
    assert blame.looks_like is not None
    assert blame.looks_like.text == "differs in one element of 0/0, first at [1, 2]"


@pytest.mark.parametrize(
    ("where", "factor", "said"),
    [
        (np.s_[13], 1.01, "differs in row 13 of args[0], first at [13, 0]"),
        (np.s_[:, 7], 1.01, "differs in column 7 of args[0], first at [0, 7]"),
        (np.s_[13], 0.0, "is zero in row 13 of args[0] alone: "),
        (np.s_[:, [0, 3]], 0.0, "is zero in columns 0 and 3 of args[0] alone: "),
    ],
    ids=["row", "column", "zero-row", "zero-columns"],
)
def test_a_row_or_a_column_is_named(where: Any, factor: float, said: str) -> None:
    def wrong(w: Any, x: Any) -> Any:
        loss, gradient = ((x @ w) ** 2).sum(), 2 * x.T @ (x @ w)
        gradient[where] = gradient[where] * factor
        return loss, gradient

    draw = np.random.default_rng(0)
    args = draw.normal(size=(20, 15)), draw.normal(size=(9, 20))
    functions = crossgrad.gradient(wrong, "numpy", "wrong"), right_of_squares()
    (blame,) = crossgrad.compare_gradients(*functions, args=args, dtype="float64").blames
    assert blame.looks_like is not None
    assert blame.looks_like.text.startswith(said)


def right_of_squares() -> Any:
    return crossgrad.loss(lambda w, x: (x @ w).square().sum(), "torch", "right")


@pytest.mark.parametrize(
    ("narrow", "dtype"), [("float16", "float32"), ("bfloat16", "float32"), ("float32", "float64")]
)
@pytest.mark.parametrize("size", [5, pytest.param(300, marks=pytest.mark.slow)])
def test_narrower_arithmetic_is_named(size: int, narrow: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    draw = np.random.default_rng(0)
    args = draw.normal(size=(size, size)) / size**0.5, draw.normal(size=(30, size))

    def f(w: Any, x: Any) -> Any:
        return (torch.tanh(torch.tanh(x @ w) @ w) ** 2).mean()

    def narrower(w: Any, x: Any) -> Any:
        to = getattr(torch, narrow)
        return f(w.to(to), x.to(to)).to(x.dtype)

    functions = crossgrad.loss(f, "torch", "right"), crossgrad.loss(narrower, "torch", "narrow")
    (blame,) = crossgrad.compare_gradients(*functions, args=args, dtype=dtype).blames
    assert blame.function == "narrow"
    assert blame.looks_like is not None
    assert blame.looks_like.cause == "narrower"
    assert f"units of {narrow}" in blame.looks_like.text


@pytest.mark.parametrize("with_loss", [True, False])
def test_a_gradient_alone_that_is_narrower_is_named(with_loss: bool) -> None:
    def narrower(params: Any, x: Any, y: Any) -> Any:
        loss, gradients = hand_written()(params, x, y)
        narrow = [(W.astype(np.float16).astype(W.dtype), b) for W, b in gradients]
        return (loss, narrow) if with_loss else narrow

    wrong = crossgrad.gradient(narrower, "numpy", "narrow")
    (blame,) = crossgrad.compare_gradients(wrong, right("torch"), args=arguments()).blames
    assert blame.function == "narrow"
    assert blame.looks_like is not None
    assert "units of float16" in blame.looks_like.text


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_formulas_that_are_nearly_the_same_are_not_called_narrower(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    gelus = [
        crossgrad.loss(lambda x, how=how: torch.nn.functional.gelu(x, approximate=how).sum(), "torch", how)
        for how in ("none", "tanh")
    ]
    for pair in (gelus, gelus[::-1]):
        report = crossgrad.compare_gradients(*pair, args=(np.linspace(-2, 2, 9),), dtype=dtype)
        assert (report.verdict, report.blames) == ("disagree", ())
        assert "as if computed" not in str(report)


def test_a_gradient_that_is_a_little_steeper_is_not_called_narrower() -> None:
    wrong = crossgrad.gradient(
        hand_written(lambda g: [((1 + W.dtype.type(1e-4)) * W, b) for W, b in g]), "numpy", "mine"
    )
    assert "as if computed" not in str(crossgrad.compare_gradients(wrong, right("torch"), args=arguments()))


@pytest.mark.parametrize("spoilt", ["all", "one"])
@pytest.mark.parametrize("first", [True, False])
def test_nan_is_named_and_blamed_where_it_is(spoilt: str, first: bool) -> None:
    def with_nan(g: list[Any]) -> list[Any]:
        W, b = g[0][0].copy(), g[0][1]
        W[(...,) if spoilt == "all" else (1, 2)] = np.nan
        return [(W, b), *g[1:]]

    nan, finite = crossgrad.gradient(hand_written(with_nan), "numpy", "nan"), right("torch")
    report = crossgrad.compare_gradients(*((nan, finite) if first else (finite, nan)), args=arguments())
    assert report.verdict == "nonfinite-disagree"
    (blame,) = report.blames
    assert (blame.function, blame.quantities) == ("nan", ("0/0",))
    assert blame.looks_like is not None
    assert blame.looks_like.text == "has NaN or infinity in 0/0"


def test_nan_is_named_where_no_loss_vouches_for_the_other() -> None:
    ours = [
        crossgrad.gradient(lambda w, x: 2 * w, "numpy", "finite"),
        crossgrad.gradient(lambda w, x: w * np.float32("nan"), "numpy", "nan"),
    ]
    args = np.ones(3, np.float32), np.ones(3, np.float32)
    for functions, says in [
        (ours, "finite is finite where the other is not, in args[0], beside nan"),
        (ours[::-1], "nan has NaN or infinity in args[0], beside finite"),
    ]:
        report = crossgrad.compare_gradients(*functions, args=args)
        assert not report.blames
        assert says in str(report)


def test_nan_where_the_other_bends_too_fast_for_a_slope_is_told() -> None:
    """The length of a row of zeros: infinitely steep in the one, NaN in the other, and nothing is rounded."""
    jax = pytest.importorskip("jax")
    rows = np.ones((3, 4), np.float32)
    rows[1] = 0

    def by_jax(x: Any) -> Any:
        length = jax.numpy.linalg.norm(x, axis=-1, keepdims=True)
        return (x / jax.numpy.maximum(length, 1e-12) * jax.numpy.arange(4)).sum()

    def by_torch(x: Any) -> Any:
        return (torch.nn.functional.normalize(x, dim=-1) * torch.arange(4)).sum()

    report = crossgrad.compare_gradients(
        crossgrad.loss(by_torch, "torch", "torch"), crossgrad.loss(by_jax, "jax", "jax"), args=(rows,)
    )
    assert not report.blames
    assert "the gradient of jax is not finite" in str(report)
    assert "in steps" not in str(report)


def test_nan_everywhere_is_no_agreement() -> None:
    torch, _ = pytest.importorskip("torch"), pytest.importorskip("jax")
    both = (
        crossgrad.loss(lambda w: torch.sqrt(w).sum(), "torch", "sqrt"),
        crossgrad.loss(lambda w: (w**1.5).sum(), "jax", "another"),
    )
    args = (np.array([-1.0, -2.0], np.float32),)
    with pytest.raises(crossgrad.GradientsDisagree, match="allow_nonfinite=True if they are meant to be"):
        crossgrad.assert_gradients_agree(*both, args=args)
    with pytest.raises(AssertionError, match="NaN or infinite where they are expected"):
        crossgrad.assert_gradients_agree(*both, args=args, allow_undecidable=True)
    report = crossgrad.assert_gradients_agree(*both, args=args, allow_nonfinite=True)
    assert (report.verdict, report.ok) == ("nonfinite-agree", True)


@pytest.mark.parametrize("verdict", ["undecidable", "nonfinite-agree"])
def test_what_decides_nothing_passes_if_it_is_let(verdict: str) -> None:
    """Each by its own option, and neither the other's."""
    from dataclasses import replace

    found = crossgrad.compare_gradients(right("numpy"), right("torch"), args=arguments())
    found.raise_if_disagree()
    first, *rest = found.comparisons
    found = replace(
        found, comparisons=(replace(first, judgement=replace(first.judgement, verdict=verdict)), *rest)
    )
    mine, other = (
        {"allow_undecidable": verdict == "undecidable"},
        {"allow_nonfinite": verdict != "undecidable"},
    )
    found.raise_if_disagree(**mine, **other)
    for options in ({}, {k: not v for k, v in (mine | other).items()}):
        with pytest.raises(crossgrad.GradientsDisagree):
            found.raise_if_disagree(**options)


def clipped(w: Any, x: Any) -> Any:
    """To a length of one; a gradient that is shorter stays."""
    loss = (torch.tanh(x @ w) ** 2).sum()
    (dw,) = torch.autograd.grad(loss, w)
    return loss, dw / dw.norm().clamp(min=1)


@pytest.mark.parametrize("size", [1.0, 1e-3], ids=["clipped", "short enough"])
def test_a_clipped_gradient_is_asked_about(size: float) -> None:
    rng = np.random.default_rng(0)
    report = crossgrad.compare_gradients(
        crossgrad.gradient(clipped, "torch", "clipped"),
        crossgrad.loss(lambda w, x: (torch.tanh(x @ w) ** 2).sum(), "torch", "plain"),
        args=(rng.normal(size=(4, 3)), size * rng.normal(size=(6, 4))),
    )
    assert [blame.function for blame in report.blames] == ["clipped"] * (size == 1.0), str(report)
    assert ("times that: clipped or scaled, on purpose?" in str(report)) == (size == 1.0)


@pytest.mark.parametrize("frozen", [True, False], ids=["zero", "half"])
def test_a_row_of_zeros_is_asked_about(frozen: bool) -> None:
    """As an embedding's gradient at its padding; half of what it should be is no padding."""

    def padded(w: Any, ids: Any) -> Any:
        part = w.detach() if frozen else (w + w.detach()) / 2
        return (torch.cat([part[:1], w[1:]])[ids] ** 2).sum()

    report = crossgrad.compare_gradients(
        crossgrad.loss(padded, "torch", "padded"),
        crossgrad.loss(lambda w, ids: (w[ids] ** 2).sum(), "torch", "plain"),
        args=(np.random.default_rng(0).normal(size=(5, 3)), np.array([0, 1, 0, 3, 4, 2])),
    )
    (blame,) = report.blames
    assert blame.function == "padded"
    assert ("row 0 of args[0] alone: padding_idx or stop_gradient, on purpose?" in str(report)) == frozen


def test_the_few_that_are_right_are_named_where_most_are_wrong() -> None:
    found = some_of(["a", "b", "c"], ["a", "b", "c", "d"])
    assert found is not None
    assert found.text == "differs in all of 4 gradients but d"


CONVENTIONS = (2.0, 0.5, 7.0, 5 / 7, 1 / 35)


@pytest.mark.parametrize("factor", [*CONVENTIONS, 1.05, 1.0005, -0.3, -2.0])
def test_only_what_counts_may_differ_by_is_a_convention(factor: float) -> None:
    """A mean's factor is made of sizes, here 7 and 5; another multiple of a loss is another loss."""

    def loss(w: Any, x: Any) -> Any:
        return (np.sin(x @ w) ** 2).sum()

    def gradient(w: Any, x: Any) -> Any:
        return loss(w, x), x.T @ (2 * np.sin(x @ w) * np.cos(x @ w))

    draw = np.random.default_rng(0)
    report = crossgrad.compare_gradients(
        crossgrad.gradient(gradient, "numpy", "one"),
        crossgrad.gradient(lambda w, x: tuple(factor * part for part in gradient(w, x)), "numpy", "multiple"),
        args=(draw.normal(size=5), draw.normal(size=(7, 5))),
    )
    assert report.verdict == ("convention" if factor in CONVENTIONS else "disagree"), str(report)
    assert ("averaged otherwise" in str(report)) == (factor in CONVENTIONS)

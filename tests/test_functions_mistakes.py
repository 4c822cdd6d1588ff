"""What was done to a gradient that is right otherwise is named, and nothing else is called that."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.factors import written

SAMPLES, INPUTS, HIDDEN = 32, 12, 8


def drawn(dtype: str = "float32") -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    shapes = {"W": (INPUTS, HIDDEN), "b": (HIDDEN,), "c": (HIDDEN,)}
    p = {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
    return p, rng.normal(size=(SAMPLES, INPUTS)).astype(dtype)


def loss_and_gradient(p: Any, x: Any) -> tuple[Any, dict[str, Any]]:
    a = np.tanh(x @ p["W"] + p["b"]) * p["c"]
    da = 2 * a / x.dtype.type(len(x))
    dz = da * p["c"] * (1 - np.square(np.tanh(x @ p["W"] + p["b"])))
    return (a * a).sum() / x.dtype.type(len(x)), {
        "W": x.T @ dz,
        "b": dz.sum(axis=0),
        "c": (da * np.tanh(x @ p["W"] + p["b"])).sum(axis=0),
    }


def compared(spoil: Callable[[dict[str, Any], Any], dict[str, Any]], dtype: str = "float32") -> Any:
    """The right gradient beside one of which `spoil` made something, with the right loss."""

    def spoilt(p: Any, x: Any) -> Any:
        loss, g = loss_and_gradient(p, x)
        return loss, {name: np.asarray(part, x.dtype) for name, part in spoil(g, p).items()}

    return crossgrad.compare_gradients(
        crossgrad.gradient(loss_and_gradient, "numpy", "right"),
        crossgrad.gradient(spoilt, "numpy", "spoilt"),
        args=drawn(dtype),
    )


def named(report: Any) -> str:
    (blame,) = report.blames
    assert blame.function == "spoilt"
    return "" if blame.looks_like is None else blame.looks_like.text


def each(change: Callable[[Any, Any], Any], only: str = "Wbc") -> Callable[..., Any]:
    return lambda g, p: {name: change(part, p[name]) if name in only else part for name, part in g.items()}


def normed(g: dict[str, Any], p: Any) -> dict[str, Any]:
    length = np.sqrt(sum((part**2).sum() for part in g.values()))
    return {name: part / length for name, part in g.items()}


MISTAKES = {
    "decay": (each(lambda g, p: g + 0.01 * p), "is the other plus 0.01 times the parameters: weight decay"),
    "decay-of-weights": (
        each(lambda g, p: g + 0.01 * p, "W"),
        "plus 0.01 times the parameters: weight decay",
    ),
    "no-decay": (each(lambda g, p: g - 0.5 * p), "minus 0.5 times the parameters: weight decay"),
    "l1": (each(lambda g, p: g + 0.01 * np.sign(p)), "plus 0.01 times the parameters' signs: an L1 penalty"),
    "stepped": (each(lambda g, p: p - 0.1 * g), "is the parameters after a step of 0.1 times the other"),
    "signs": (each(lambda g, p: np.sign(g)), "has the other's signs, and 1 everywhere"),
    "clipped": (each(lambda g, p: np.clip(g, -0.1, 0.1)), "is the other, clipped to 0.1"),
    "clipped-by-leaf": (
        each(lambda g, p: 0.25 * g / np.linalg.norm(g)),
        "has a length of 0.25 in each leaf: clipped or normalised leaf by leaf?",
    ),
    "normalised": (normed, "is the other, normalised: its length is 1"),
    "swapped": (lambda g, p: g | {"b": g["c"]}, "has at b the gradient of c"),
    "factors": (
        lambda g, p: g | {"b": 3 * g["b"], "W": g["W"] / 4},
        "is the other times 1/4 in W and 3 in b",
    ),
    "no-mean": (
        each(lambda g, p: 32 * g),
        "is 32 times the other everywhere (32 is the length of axis 0 of args[1])",
    ),
    "bessel": (each(lambda g, p: g * 32 / 31), "(32 over 31; 32 is the length of axis 0 of args[1])"),
    "no-scale": (
        each(lambda g, p: g * 8**0.5),
        "(the root of 8, which is the length of axis 1 of args[0]/W)",
    ),
    "logarithm": (
        each(lambda g, p: g * np.log(2)),
        "is 0.693147 times the other everywhere (the natural log",
    ),
    "tiny-factor": (each(lambda g, p: g / 1024), "is 1/1024 times the other everywhere"),
    "zero": (each(lambda g, p: 0 * g), "is zero everywhere: nothing flows back to it"),
    "mixed-up": (each(lambda g, p: g[::-1], "W"), "is flipped along axis 0 in W"),
    "rolled": (each(lambda g, p: np.roll(g, 2, 1), "W"), "has axis 1 moved on by 2 in W"),
    "gates": (
        each(lambda g, p: g[:, [2, 3, 0, 1, 4, 5, 7, 6]], "W"),
        "has axis 1 in another order: 2 in the",
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("spoil", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_classic_mistake_is_named(spoil: Any, said: str, dtype: str) -> None:
    assert said in named(compared(spoil, dtype))


def mean_of_all(g: dict[str, Any], p: Any) -> dict[str, Any]:
    return {name: np.full_like(part, np.abs(part).mean()) for name, part in g.items()}


OTHERS = {
    "mean-of-all": mean_of_all,
    "zero-and-wrong": lambda g, p: g | {"b": 0 * g["b"], "W": np.abs(g["W"])},
    "noise": each(lambda g, p: g * (1 + 1e-3 * np.random.default_rng(1).normal(size=g.shape))),
    "decay-of-another": lambda g, p: g | {"b": g["b"] + 0.01 * p["c"]},
    "nearly-clipped": each(lambda g, p: 0.2 * np.tanh(g / 0.2)),
    "half-a-leaf": each(lambda g, p: np.concatenate([g[:4] / 2, g[4:]])),
}


@pytest.mark.parametrize("spoil", OTHERS.values(), ids=OTHERS)
def test_nothing_else_is_called_one(spoil: Any) -> None:
    text = named(compared(spoil))
    assert not any(word in text for word in ("decay", "clipped", "signs", "step", "times", "normalised"))


@pytest.mark.parametrize(
    ("factor", "shown"),
    [
        (2, "2"),
        (-2, "-2"),
        (-0.1, "-1/10"),
        (1 / 3, "1/3"),
        (0.3, "0.3"),
        (1.0, "1"),
        (0.0, "0"),
        (1e-9, "1/1000000000"),
    ],
)
def test_factors_are_written_as_people_do(factor: float, shown: str) -> None:
    assert written(factor) == shown


def shares(factor: float, labels: Any) -> Any:
    """A loss over data of 10 samples, and a multiple of it."""

    def gradient(w: Any, x: Any, y: Any) -> Any:
        residual = x @ w - 1
        return (residual**2).sum(), 2 * x.T @ residual

    rng = np.random.default_rng(0)
    return crossgrad.compare_gradients(
        crossgrad.gradient(gradient, "numpy", "one"),
        crossgrad.gradient(lambda *a: tuple(factor * part for part in gradient(*a)), "numpy", "other"),
        args=(rng.normal(size=3), rng.normal(size=(10, 3)), labels),
    )


VALID = np.array([0, 1, 2, 3, -100, 1, -100, 2, 0, 1])


@pytest.mark.parametrize("factor", [0.9, 0.7, 1.05, 4.0, 2.5])
def test_a_loss_times_a_constant_is_not_averaged_otherwise(factor: float) -> None:
    report = shares(factor, np.arange(10))
    assert report.verdict == "disagree"
    assert "averaged" not in str(report)


@pytest.mark.parametrize(
    ("labels", "place"),
    [
        (VALID, "8 is the number of labels in args[2] that are not negative"),
        ((VALID >= 0).astype(np.float64), "8 is the number of ones in args[2]"),
    ],
    ids=["ignored", "mask"],
)
def test_a_mean_of_what_is_not_ignored_is_a_convention(labels: Any, place: str) -> None:
    assert shares(8 / 10, labels).verdict == "convention"
    report = shares(1 / 8, labels)
    assert report.verdict == "convention"
    assert f"({place}): a loss that is averaged otherwise" in str(report)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, bool])
def test_large_masks_are_counted_in_any_dtype(dtype: type) -> None:
    mask = np.ones(70_001, dtype)
    mask[0] = 0
    assert "70000 is the number of ones in args[2]" in str(shares(1 / 70_000, mask))


def test_a_gradient_along_the_parameters_that_is_a_little_long_is_no_decay() -> None:
    def gradient(factor: float) -> Any:
        return crossgrad.gradient(
            lambda w: ((w * w).sum(), w * w.dtype.type(2 * factor)), "numpy", f"{factor}"
        )

    w = np.random.default_rng(0).normal(size=9).astype(np.float32)
    report = crossgrad.compare_gradients(gradient(1), gradient(1 + 4e-6), args=(w,))
    assert report.verdict == "disagree"
    assert "decay" not in str(report)


def test_leaves_without_a_gradient_do_not_keep_a_factor_from_being_everywhere() -> None:
    """One that is zero in both functions, and one of no elements."""

    def gradient(factor: float) -> Any:
        def gradients(p: Any) -> Any:
            return factor * (p["w"] ** 2).sum(), {**p, "w": 2 * factor * p["w"], "dead": 0 * p["dead"]}

        return crossgrad.gradient(gradients, "numpy", f"times {factor}")

    params = {"w": np.arange(1.0, 8.0), "dead": np.ones(3), "none": np.zeros((0, 3))}
    report = crossgrad.compare_gradients(gradient(1), gradient(7), args=(params,))
    assert report.verdict == "convention"
    assert "is 1/7 times the other everywhere (7 is the length of args[0]/w)" in str(report)

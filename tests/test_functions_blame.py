"""Who is wrong of two: where the direction of their difference does not tell, a closer look does."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.dispute import Dispute
from crossgrad.functions.judging import groups
from crossgrad.functions.majority import by_majority
from crossgrad.functions.trials import MUTANT, try_functions
from crossgrad.mutants import MUTANTS

pytest.importorskip("torch")

SLOPE, STEPS = "not the slope of its own loss", "moves in steps"


def drawn(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def hand_written(
    params: Any, x: Any, y: Any, forward: Callable[[Any], Any] = lambda x: x, store: Any = None
) -> Any:
    """A sigmoid layer and a mean squared error; what the forward pass makes of x is not in the gradient."""
    W, b = params
    z = forward(x) @ W.T + b
    a = (1 / (1 + np.exp(-z))).astype(store or z.dtype).astype(z.dtype)
    dz = 2 * (a - y) / y.size * a * (1 - a)
    return np.mean((a - y) ** 2), (dz.T @ x, dz.sum(axis=0))


def in_torch(params: Any, x: Any, y: Any) -> Any:
    import torch

    W, b = params
    return torch.mean((torch.sigmoid(x @ W.T + b) - y) ** 2)


def compared(function: Callable[..., Any], *args: Any) -> Any:
    return crossgrad.compare_gradients(
        crossgrad.gradient(function, "numpy", name="mine"), crossgrad.loss(in_torch, "torch"), args=args
    )


def arguments(scale: float = 1.0, dtype: str = "float64") -> tuple[Any, Any, Any]:
    W, b, x, y = scale * drawn(4, 6), drawn(4, seed=1), drawn(5, 6, seed=2), drawn(5, 4, seed=3)
    return (W.astype(dtype), b.astype(dtype)), x.astype(dtype), y.astype(dtype)


def without_last_input(x: Any) -> Any:
    left_out = x.copy()
    left_out[:, -1] = 0
    return left_out


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_input_that_only_the_gradient_knows_is_found(dtype: str) -> None:
    """The loss is wrong nearly as the gradient is: along their difference both are slopes of their own."""
    report = compared(lambda *args: hand_written(*args, forward=without_last_input), *arguments(dtype=dtype))
    (blame,) = report.blames
    assert (blame.function, SLOPE in blame.evidence) == ("mine", True)


@pytest.mark.parametrize("with_loss", [True, False], ids=["with-loss", "without-loss"])
def test_a_fault_in_a_saturated_layer_is_found_where_it_is_not_saturated(with_loss: bool) -> None:
    """Gradients of 1e-40 beside a loss of 1: no difference of losses there shows who is wrong."""

    def doubled(params: Any, x: Any, y: Any) -> Any:
        loss, (dW, db) = hand_written(params, x, y)
        return (loss, (2 * dW, db)) if with_loss else (2 * dW, db)

    (_, b), x, y = arguments()
    W = np.full((4, 6), -20.0)
    report = compared(doubled, (W, b), np.abs(x), y)
    assert [blame.function for blame in report.blames] == ["mine"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_of_equal_losses_in_steps_none_is_wrong(dtype: str) -> None:
    """One gradient goes straight through the rounding, the other is its derivative, zero."""
    import torch

    def through(w, x):
        return ((x @ (w + (torch.round(8 * w) / 8 - w).detach())) ** 2).mean()

    def stopped(w, x):
        return ((x @ (torch.round(8 * w) / 8)) ** 2).mean()

    rng = np.random.default_rng(0)
    both = [crossgrad.loss(f, "torch") for f in (through, stopped)]
    args = rng.normal(size=(5, 3)), rng.normal(size=(20, 5))
    report = crossgrad.compare_gradients(*both, args=args, dtype=dtype)
    assert (report.verdict, report.blames) == ("disagree", ())
    assert "move in steps" in report.remarks[0]


@pytest.mark.parametrize("store", ["float32", "float16"])
def test_a_loss_that_moves_in_steps_is_found(store: str) -> None:
    report = compared(lambda *args: hand_written(*args, store=store), *arguments())
    (blame,) = report.blames
    assert (blame.function, STEPS in blame.evidence) == ("mine", True)


def test_a_rough_function_is_not_blamed_for_another_loss() -> None:
    """The sum in place of the mean is no matter of steps: nobody knows who is right."""

    def summed(params: Any, x: Any, y: Any) -> Any:
        loss, (dW, db) = hand_written(params, x, y, store="float32")
        return loss * y.size, (dW * y.size, db * y.size)

    report = compared(summed, *arguments())
    assert not report.ok
    assert report.blames == ()


def test_a_loss_that_is_hard_to_follow_is_not_wrong_for_it() -> None:
    """A million beside the loss hides its slopes: both functions are right, for losses of their own."""
    torch = pytest.importorskip("torch")

    def far_up(params: Any, x: Any, y: Any) -> Any:
        return 1e6 + in_torch(params, x, y)

    def decaying(params: Any, x: Any, y: Any) -> Any:
        return in_torch(params, x, y) + 1e-7 * sum(torch.sum(p**2) for p in params)

    report = crossgrad.compare_gradients(
        crossgrad.loss(far_up, "torch"), crossgrad.loss(decaying, "torch"), args=arguments()
    )
    assert not report.ok
    assert report.blames == ()


TRIED = [
    ("float32", 1000001, "products-in-float16"),
    ("float16", 1000004, "sigmoid-rational"),
    ("float64", 1000000, "dW-zero"),
    ("float64", 2000004, "stored-in-float32"),
    ("float32", 2000004, "sigmoid-tabulated"),
    ("bfloat16", 2000002, "last-unit-not-computed"),
]


@pytest.mark.parametrize(("dtype", "seed", "name"), TRIED, ids=[f"{n}-{d}" for d, _, n in TRIED])
def test_faults_that_were_not_blamed_or_on_the_right_function(dtype: str, seed: int, name: str) -> None:
    mutants = [mutant for mutant in MUTANTS if mutant.name == name]
    (trial,), _ = try_functions(1, seed, [dtype], mutants=mutants)
    assert trial.counts
    assert trial.detected
    assert trial.blamed == trial.blamed_of_more == (MUTANT,)


def beside(right: Callable[..., Any], wrong: Callable[..., Any], *args: Any) -> Any:
    """A loss in torch and another function of torch, which may have a gradient of its own."""
    return crossgrad.compare_gradients(
        crossgrad.loss(right, "torch", name="right"), crossgrad.loss(wrong, "torch", name="wrong"), args=args
    )


def spoilt(loss: Callable[..., Any], factor: float, leaf: str) -> Callable[..., Any]:
    """The same loss, with the gradient at a leaf of a dict times a factor."""

    def function(params: Any, *args: Any) -> Any:
        p = params[leaf]
        return loss({**params, leaf: factor * p - (factor - 1) * p.detach()}, *args)

    return function


def is_wrong_alone(report: Any) -> bool:
    return [(b.function, SLOPE in b.evidence) for b in report.blames] == [("wrong", True)]


def test_a_leaf_without_dimensions_does_not_hide_who_is_wrong() -> None:
    torch = pytest.importorskip("torch")

    def loss(params: Any, x: Any) -> Any:
        return torch.sin(params["t"] * (x @ params["w"])).mean()

    params = {"t": np.array(1.3), "w": drawn(2)}
    assert is_wrong_alone(beside(loss, spoilt(loss, 2, "w"), params, drawn(5, 2, seed=1)))


@pytest.mark.parametrize("far", [1e2, 1e5, 3e5])
def test_a_loss_that_is_flat_but_for_a_little_is_followed_there(far: float) -> None:
    """Large steps find it saturated to both sides, with slopes of exactly nothing."""
    torch = pytest.importorskip("torch")

    def loss(params: Any, x: Any) -> Any:
        return torch.exp(-((x - params["centre"]) ** 2).sum(-1)).mean()

    params = {"centre": far + drawn(2)}
    assert is_wrong_alone(beside(loss, spoilt(loss, -1, "centre"), params, far + drawn(6, 2, seed=1)))


def test_a_leaf_that_is_large_and_not_in_question_does_not_set_the_steps() -> None:
    torch = pytest.importorskip("torch")

    def loss(params: Any, x: Any) -> Any:
        logits = x @ params["w"]
        return torch.logsumexp(logits, -1).mean() - logits[:, 0].mean() + 1e-16 * params["large"].sum()

    params = {"w": drawn(4, 3), "large": 1e8 + drawn(3, seed=2)}
    assert is_wrong_alone(beside(loss, spoilt(loss, 1.5, "w"), params, drawn(5, 4, seed=1)))


def test_a_kink_excuses_what_is_of_the_kink_alone() -> None:
    """Rows of zeros and no bias, relu's kink at them all; the wrong gradient is 1.02 times the right one."""
    torch = pytest.importorskip("torch")
    x = drawn(6, 4, seed=1)
    x[:2] = 0

    def loss(params: Any, x: Any) -> Any:
        return (torch.relu(x @ params["w"] + params["b"]) ** 1.5).sum() + torch.relu(x @ params["w"]).sum()

    params = {"w": drawn(4, 3), "b": np.zeros(3)}
    report = beside(loss, spoilt(loss, 1.02, "w"), params, x)
    assert (report.verdict, is_wrong_alone(report)) == ("disagree", True)


def test_arithmetic_in_the_dtype_of_the_arguments_is_no_matter_of_steps() -> None:
    """float32 inside is as wide as the arguments: what differs is the other loss's epsilon."""
    torch = pytest.importorskip("torch")

    def careful(w: Any, x: Any) -> Any:
        return -torch.log_softmax((x @ w).float(), -1).to(x.dtype)[:, 0].mean()

    def with_epsilon(w: Any, x: Any) -> Any:
        return -torch.log(torch.softmax(x @ w, -1)[:, 0] + 1e-6).mean()

    for seed in range(4):
        args = drawn(5, 4, seed=seed).astype("float32"), drawn(6, 5, seed=9).astype("float32")
        assert beside(careful, with_epsilon, *args).blames == ()


def test_a_term_that_is_added_is_no_factor() -> None:
    torch = pytest.importorskip("torch")

    def loss(w: Any, x: Any) -> Any:
        return ((x @ w) ** 2).sum() + torch.sin(w).sum()

    report = beside(loss, lambda w, x: loss(w, x) + 1e-2 * w.sum(), drawn(4), drawn(9, 4, seed=1))
    assert (report.verdict, report.blames) == ("disagree", ())
    assert "times the other" not in str(report)


@pytest.mark.parametrize("factor", [1.7, -1.0, 0.0])
def test_a_gradient_alone_has_no_loss_that_it_could_be_the_slope_of(factor: float) -> None:
    def multiple(params: Any, x: Any, y: Any) -> Any:
        _, (dW, db) = hand_written(params, x, y)
        return factor * dW, factor * db

    (blame,) = compared(multiple, *arguments()).blames
    assert (blame.function, "it gives no loss" in blame.evidence) == ("mine", True)


def test_a_gradient_alone_may_be_that_of_a_mean_beside_a_sum() -> None:
    def gradient_of_mean(params: Any, x: Any, y: Any) -> Any:
        _, (dW, db) = hand_written(params, x, y)
        return dW / len(x), db / len(x)

    report = compared(gradient_of_mean, *arguments())
    assert (report.verdict, report.blames) == ("convention", ())
    assert "who is wrong is not known, as mine gives no loss" in str(report)
    assert "a loss that is averaged otherwise" in str(report)


@pytest.mark.parametrize("waves", [3e5, 3e6, 1e7])
def test_a_bounded_loss_that_swings_is_followed_at_small_steps(waves: float) -> None:
    """At steps longer than its waves every slope is near zero, and so is the wrong gradient."""

    def swinging(steeper: float) -> Callable[..., Any]:
        def gradients(w: Any) -> Any:
            return np.sin(waves * w).mean(), steeper * waves * np.cos(waves * w) / w.size

        return gradients

    report = crossgrad.compare_gradients(
        crossgrad.gradient(swinging(1), "numpy", "right"),
        crossgrad.gradient(swinging(1e-3), "numpy", "flat"),
        args=(drawn(20),),
    )
    assert [blame.function for blame in report.blames] == ["flat"]


def test_the_loss_is_not_asked_for_far_from_the_arguments() -> None:
    """Where a fixed point's iteration would not end."""
    start, furthest = drawn(20), 0.0

    def doubled(w: Any) -> Any:
        nonlocal furthest
        furthest = max(furthest, float(np.abs(np.asarray(w) - start).max()))
        return np.square(w).sum(), 4 * w

    report = crossgrad.compare_gradients(
        crossgrad.gradient(doubled, "numpy", "doubled"),
        crossgrad.gradient(lambda w: (np.square(w).sum(), 2 * w), "numpy", "right"),
        args=(start,),
    )
    assert [blame.function for blame in report.blames] == ["doubled"]
    assert 0 < furthest < 0.02 * np.linalg.norm(start)


@pytest.mark.parametrize("names", ["abcd", "dbca", "bcad", "adbc"])
def test_two_that_differ_while_both_agree_with_the_rest_are_no_minority(names: str) -> None:
    """Agreement is not transitive: the first and the last of a row may be further apart than noise."""
    wrong: Any = SimpleNamespace(verdict="disagree", is_wrong=True)
    comparisons: Any = [SimpleNamespace(function="a", against="d", quantity="w", **vars(wrong))]
    nothing: Any = None
    dispute = Dispute(dict.fromkeys(names, nothing), groups(names, comparisons), comparisons, nothing)
    found = by_majority({}, dispute)
    assert found.blames == ()
    assert found.remarks[0] in (
        "not called wrong: a differs from d alone",
        "not called wrong: d differs from a alone",
    )


@pytest.mark.parametrize("twice", [False, True], ids=["forgets-the-data", "penalty-twice"])
def test_a_loss_of_which_a_part_is_in_float32_is_right(twice: bool) -> None:
    """Over the smallest steps that part stands still, and the rest has a slope that looks exact."""
    import torch

    x, y = drawn(64, 10, seed=1), (drawn(64, seed=2) > 0).astype(float)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits

    def right(w: Any, x: Any, y: Any) -> Any:
        return entropy((x @ w).float(), y.float()).double() + 0.01 * w.square().sum()

    def wrong(w: Any, x: Any, y: Any) -> Any:
        leaf = w.detach().requires_grad_()
        other = 0.02 * leaf.square().sum() + entropy(x @ leaf, y) if twice else 0.01 * leaf.square().sum()
        return right(w, x, y).detach(), torch.autograd.grad(other, leaf)[0]

    report = crossgrad.compare_gradients(
        crossgrad.loss(right, "torch"), crossgrad.gradient(wrong, "torch"), args=(drawn(10), x, y)
    )
    assert [blame.function for blame in report.blames] == ["torch:wrong"], str(report)


def test_a_wrong_gradient_of_a_loss_that_is_flat() -> None:
    """Units that are all dead, and a backward pass that does not know: there is no factor to name."""
    import torch

    class Relu(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return torch.relu(x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

    wrong = crossgrad.loss(lambda w: Relu.apply(w - 10).sum(), "torch", "wrong")
    right = crossgrad.loss(lambda w: torch.relu(w - 10).sum(), "torch", "right")
    report = crossgrad.compare_gradients(wrong, right, args=(drawn(5).astype("f4"),))
    (blame,) = report.blames
    assert blame.function == "wrong"
    assert SLOPE in blame.evidence


def weighted(name: str, weight: float, slopes: tuple[float, float], narrow: bool = False) -> Any:
    """A loss a² + weight b², and a gradient of a and b times their slopes."""

    def gradient(a: Any, b: Any) -> Any:
        a, b = (v.astype(np.float32) if narrow else v for v in (a, b))
        k = a.dtype.type
        return (a * a + k(weight) * b * b).sum(), (k(slopes[0]) * a, k(slopes[1]) * b)

    return crossgrad.gradient(gradient, "numpy", name)


NARROW, HALF = weighted("narrow", 1, (3, 3), narrow=True), weighted("half right", 1, (2, 3))
TRIOS = {
    "another-loss-is-right": ([NARROW, HALF, weighted("other", 2, (2, 4))], "half right"),
    "the-same-loss-is-right": ([NARROW, HALF, weighted("right", 1, (2, 2))], "right"),
}


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("trio", TRIOS)
def test_the_witness_against_what_has_no_loss_in_float64_is_named(
    trio: str, order: tuple[int, int, int]
) -> None:
    """That of the same loss may be wrong elsewhere, and the one that is right be right of another loss."""
    functions, witness = TRIOS[trio]
    args = np.array([1.3], np.float32), np.array([0.7], np.float32)
    report = crossgrad.compare_gradients(*(functions[n] for n in order), args=args, argnums=(0, 1))
    evidence = {blame.function: blame.evidence for blame in report.blames}
    assert set(evidence) == {"narrow", "half right"}, str(report)
    assert evidence["narrow"].startswith(f"its loss is that of {witness}, and where they differ")

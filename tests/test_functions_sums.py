"""Sums from left to right: over indices, however uneven, and running ones."""

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

import crossgrad

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")
jnp = jax.numpy

DRAW = np.random.default_rng(0)
COUNT = 3000
IDS = np.where(DRAW.random(COUNT) < 0.6, 0, DRAW.integers(1, 100, COUNT))
TABLE = DRAW.normal(size=(100, 4))
TARGETS = {"apart": DRAW.normal(size=(COUNT, 4)) + 3, "cancelling": TABLE[IDS] + DRAW.normal(size=(COUNT, 4))}


def indexed(E: Any, ids: Any, y: Any) -> Any:
    return ((E[ids] - y) ** 2).sum() / COUNT


def looked_up(E: Any, ids: Any, y: Any) -> Any:
    return ((torch.nn.functional.embedding(ids, E) - y) ** 2).sum() / COUNT


def multiplied(E: Any, ids: Any, y: Any) -> Any:
    return ((jnp.eye(100, dtype=E.dtype)[ids] @ E - y) ** 2).sum() / COUNT


def scanned(E: Any, ids: Any, y: Any) -> Any:
    zero = jnp.zeros((), E.dtype)
    return jax.lax.scan(lambda a, _: (a + indexed(E, ids, y) / 4, None), zero, None, length=4)[0]


def added_at(E: Any, ids: Any, y: Any) -> Any:
    d, gradient = E[ids] - y, np.zeros_like(E)
    np.add.at(gradient, ids, 2 * d / E.dtype.type(COUNT))
    return (d**2).sum() / E.dtype.type(COUNT), gradient


def subtracted_at(E: Any, ids: Any, y: Any) -> Any:
    loss, gradient = added_at(E, ids, y)
    gradient = np.zeros_like(E)
    np.subtract.at(gradient, ids, 2 * (y - E[ids]) / E.dtype.type(COUNT))
    return loss, gradient


INDEXED = [
    crossgrad.loss(indexed, "jax", "jax"),
    crossgrad.gradient(added_at, "numpy", "add.at"),
    crossgrad.loss(indexed, "torch", "index_put"),
    crossgrad.loss(scanned, "jax", "scan"),
    crossgrad.loss(looked_up, "torch", "embedding"),
    crossgrad.gradient(subtracted_at, "numpy", "subtract.at"),
    crossgrad.loss(multiplied, "jax", "one-hot"),
]


def pairs_with(scan: bool) -> list[Any]:
    """Neighbours of the list; a scan takes seconds to compile."""
    found = [(one, other) for one, other in pairwise(INDEXED) if ("scan" in (one.name, other.name)) is scan]
    return [pytest.param(one, other, id=f"{one.name}-{other.name}") for one, other in found]


@pytest.mark.parametrize(("one", "other"), pairs_with(scan=True)[1:])
def test_gradients_of_rows_that_a_loop_chose(one: Any, other: Any) -> None:
    report = crossgrad.compare_gradients(one, other, args=(TABLE, IDS, TARGETS["apart"]), dtype="float32")
    assert report.verdict == "agree", str(report)


@pytest.mark.parametrize(
    ("targets", "dtype"), [("apart", "float32"), ("apart", "float64"), ("cancelling", "float32")]
)
@pytest.mark.parametrize(("one", "other"), pairs_with(scan=False))
def test_gradients_of_rows_that_an_index_chose(one: Any, other: Any, targets: str, dtype: str) -> None:
    report = crossgrad.compare_gradients(one, other, args=(TABLE, IDS, TARGETS[targets]), dtype=dtype)
    assert report.verdict == "agree", str(report)


SEGMENTS = {
    "index_add": lambda v, ids: torch.zeros(100, 4, dtype=v.dtype).index_add(0, ids, v),
    "index_add_": lambda v, ids: torch.zeros(100, 4, dtype=v.dtype).index_add_(0, ids, v),
    "scatter_add": lambda v, ids: torch.zeros(100, 4, dtype=v.dtype).scatter_add(
        0, ids[:, None].expand(v.shape), v
    ),
    "scatter_reduce": lambda v, ids: torch.zeros(100, 4, dtype=v.dtype).scatter_reduce(
        0, ids[:, None].expand(v.shape), v, "sum"
    ),
    "put": lambda v, ids: torch.zeros(100, 4, dtype=v.dtype).put(
        4 * ids[:, None] + torch.arange(4), v, accumulate=True
    ),
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("name", SEGMENTS)
def test_sums_of_segments(name: str, dtype: str) -> None:
    """In bfloat16 most terms are nothing to a sum of 1,000 that is added up from left to right."""
    functions = (
        crossgrad.loss(lambda v, ids: (SEGMENTS[name](v, ids) ** 2).mean(), "torch", name),
        crossgrad.loss(lambda v, ids: (jax.ops.segment_sum(v, ids, 100) ** 2).mean(), "jax", "segment_sum"),
    )
    values = (DRAW.normal(size=(1000, 4)) + 1) / 30
    report = crossgrad.compare_gradients(*functions, args=(values, 0 * IDS[:1000]), dtype=dtype)
    assert report.ok, str(report)
    assert not report.blames


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_terms_are_rounded_the_same_way(dtype: str) -> None:
    """Those of a mean's gradient: their errors do not cancel."""

    def mean(E: Any, ids: Any) -> Any:
        return E[ids].sum() / 0.3

    def by_hand(E: Any, ids: Any) -> Any:
        gradient = np.zeros_like(E)
        np.add.at(gradient, ids, 1 / E.dtype.type(0.3))
        return E[ids].sum() / E.dtype.type(0.3), gradient

    def one_hot(E: Any, ids: Any) -> Any:
        return (jnp.eye(100, dtype=E.dtype)[ids] @ E).sum() / 0.3

    by_product = crossgrad.loss(one_hot, "jax", "one-hot")
    for one in (crossgrad.loss(mean, "torch", "torch"), crossgrad.gradient(by_hand, "numpy", "add.at")):
        report = crossgrad.compare_gradients(one, by_product, args=(TABLE, IDS), dtype=dtype)
        assert report.verdict == "agree", str(report)


def test_a_row_with_few_terms_has_not_the_noise_of_one_with_many() -> None:
    """In bfloat16 1,800 terms hide what 5 do not."""
    rare = np.argmin(np.bincount(IDS))

    def wrong(E: Any, ids: Any, y: Any) -> Any:
        loss, gradient = jax.value_and_grad(indexed)(E, ids, y)
        return loss, gradient.at[rare].multiply(1.5)

    functions = crossgrad.gradient(wrong, "jax", "wrong"), crossgrad.loss(looked_up, "torch", "right")
    report = crossgrad.compare_gradients(*functions, args=(TABLE, IDS, TARGETS["apart"]), dtype="bfloat16")
    assert [blame.function for blame in report.blames] == ["wrong"], str(report)


def running_by_hand(x: Any) -> Any:
    c = np.cumsum(x)
    return (c**2).mean(), np.cumsum(2 * c[::-1] / x.dtype.type(x.size))[::-1]


RUNNING = {
    "numpy": crossgrad.gradient(running_by_hand, "numpy", "np.cumsum"),
    "torch": crossgrad.loss(lambda x: (torch.cumsum(x, 0) ** 2).mean(), "torch", "torch.cumsum"),
    "jax": crossgrad.loss(lambda x: (jnp.cumsum(x) ** 2).mean(), "jax", "jnp.cumsum"),
    "scan": crossgrad.loss(
        lambda x: jax.lax.scan(
            lambda a, _: (a + (jnp.cumsum(x) ** 2).mean(), None), jnp.zeros((), x.dtype), None, length=1
        )[0],
        "jax",
        "cumsum-in-scan",
    ),
}
STEPS = {
    "drift": DRAW.normal(size=COUNT) + 1,
    "walk": DRAW.normal(size=COUNT),
    "back": np.sin(2 * np.pi * np.arange(COUNT) / COUNT),
    "equal": np.full(COUNT, 0.1),
}


@pytest.mark.parametrize(
    ("one", "other", "steps", "dtype"),
    [
        *product(("numpy",), ("torch",), STEPS, ("float32", "float64")),
        *product(("torch",), ("jax",), STEPS, ("float32", "float64")),
        ("jax", "scan", "drift", "float32"),
        ("jax", "scan", "equal", "float64"),
    ],
)
def test_running_sums(one: str, other: str, steps: str, dtype: str) -> None:
    report = crossgrad.compare_gradients(RUNNING[one], RUNNING[other], args=(STEPS[steps],), dtype=dtype)
    assert report.verdict == "agree", str(report)


@pytest.mark.slow
def test_running_sums_of_exponentials() -> None:
    functions = (
        crossgrad.loss(lambda x: torch.logcumsumexp(x, 0).mean(), "torch", "torch"),
        crossgrad.loss(lambda x: jax.lax.cumlogsumexp(x).mean(), "jax", "jax"),
    )
    report = crossgrad.compare_gradients(*functions, args=(STEPS["drift"][:16],), dtype="float32")
    assert report.verdict == "agree", str(report)


def test_a_running_sum_that_is_a_little_wrong_is_found() -> None:
    def wrong(x: Any) -> Any:
        loss, gradient = running_by_hand(x)
        return loss, gradient * x.dtype.type(1 + 1e-3)

    one = crossgrad.gradient(wrong, "numpy", "wrong")
    report = crossgrad.compare_gradients(one, RUNNING["torch"], args=(STEPS["walk"],), dtype="float32")
    assert [blame.function for blame in report.blames] == ["wrong"]


def test_what_a_sum_left_as_it_was_is_not_rounded() -> None:
    """After one term come 2,999 zeros: what is computed is exact, and has no noise to hide in."""
    one_hot = np.zeros(COUNT)
    one_hot[0] = 1
    wrong = crossgrad.loss(lambda x: torch.cumsum(x, 0)[-1] * (1 + 4e-6), "torch", "wrong")
    right = crossgrad.loss(lambda x: jnp.cumsum(x)[-1], "jax", "right")
    report = crossgrad.compare_gradients(wrong, right, args=(one_hot,), dtype="float32")
    (loss,) = [c for c in report.comparisons if (c.quantity, c.against) == ("loss", "right")]
    assert loss.verdict in ("disagree", "convention")

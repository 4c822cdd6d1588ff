"""At kinks frameworks choose among the gradients around: no choice is blamed, nor excuses a fault."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad

torch = pytest.importorskip("torch")

Draw = np.random.Generator


def compared(one: Any, other: Any, *args: Any, dtype: str = "float32") -> Any:
    return crossgrad.compare_gradients(one, other, args=args, dtype=dtype)


def in_torch(loss: Callable[..., Any], name: str = "torch") -> Any:
    return crossgrad.loss(loss, "torch", name)


def by_hand(function: Callable[..., Any], name: str = "by hand") -> Any:
    return crossgrad.gradient(function, "numpy", name)


def blamed(report: Any) -> list[str]:
    return [blame.function for blame in report.blames]


def layer(
    p: Any, x: Any, y: Any, at: Callable[[Any], Any] = lambda z: z > 0, unit: float = 1, all_: float = 1
):
    """A relu layer with a gradient that is `at` where relu is, `unit` times the right one in one unit."""
    z = x @ p["W"].T + p["b"]
    a = np.maximum(z, 0)
    dz = 2 * (a - y) * at(z) * x.dtype.type(all_)
    dz[:, 0] *= x.dtype.type(unit)
    return ((a - y) ** 2).sum(), {"W": dz.T @ x, "b": dz.sum(0)}


LAYER = in_torch(lambda p, x, y: ((torch.relu(x @ p["W"].T + p["b"]) - y) ** 2).sum())


def padded(targets: str) -> tuple[Any, Any, Any]:
    """A bias of zero and four rows of zeros: relu's kink in every unit, rising or falling by the targets."""
    draw = np.random.default_rng(0)
    params, x = {"W": draw.normal(size=(8, 5)), "b": np.zeros(8)}, draw.normal(size=(16, 5))
    x[:4] = 0
    return params, x, draw.normal(size=(16, 8)) if targets == "of either sign" else np.ones((16, 8))


@pytest.mark.parametrize("with_loss", [True, False], ids=["loss", "no-loss"])
@pytest.mark.parametrize("targets", ["of either sign", "ones"])
def test_another_choice_at_many_kinks_at_once_is_not_blamed(targets: str, with_loss: bool) -> None:
    def function(*args: Any) -> Any:
        found = layer(*args, at=lambda z: z >= 0)
        return found if with_loss else found[1]

    report = compared(by_hand(function), LAYER, *padded(targets))
    assert (report.verdict, report.blames) == ("convention", ()), str(report)
    assert "around it the gradients agree" in str(report)


def test_kinks_that_cancel_along_the_difference_are_seen() -> None:
    """relu(a) - relu(b) moves by t along (t, -t), to both sides of 0; both gradients are of a side."""

    def function(w: Any) -> Any:
        return np.maximum(w[0], 0) - np.maximum(w[1], 0), np.array([1, -1], w.dtype) * (w >= 0)

    report = compared(by_hand(function), in_torch(lambda w: torch.relu(w[0]) - torch.relu(w[1])), np.zeros(2))
    assert (report.verdict, report.blames) == ("convention", ()), str(report)


@pytest.mark.parametrize(
    "fault",
    [{"unit": 1.5}, {"at": lambda z: z >= 0, "unit": 1.5}, {"at": lambda z: z >= 0, "all_": 1.05}],
    ids=["one-unit", "one-unit-and-another-choice", "all-and-another-choice"],
)
@pytest.mark.parametrize("targets", ["of either sign", "ones"])
def test_a_fault_beside_a_kink_is_blamed_alone(targets: str, fault: Any) -> None:
    report = compared(by_hand(lambda *args: layer(*args, **fault)), LAYER, *padded(targets))
    assert (report.verdict, blamed(report)) == ("disagree", ["by hand"]), str(report)


def all_to_each(pool: int, power: int) -> Callable[..., Any]:
    """The largest of each pool, to a power; of equals each gets the whole gradient."""

    def function(x: Any) -> Any:
        largest = np.repeat(x.reshape(-1, pool).max(1), pool)
        return (largest[::pool] ** power).sum(), power * largest ** (power - 1) * (x == largest)

    return function


@pytest.mark.parametrize("pool", [2, 4])
@pytest.mark.parametrize("power", [1, 2])
def test_a_maximum_of_equals_that_gives_all_to_each_is_blamed(pool: int, power: int) -> None:
    x = np.round(2 * np.random.default_rng(0).normal(size=48))
    x[:8] = 1
    first = in_torch(lambda x: (x.reshape(-1, pool).max(1).values ** power).sum(), "first")
    shared = in_torch(lambda x: (x.reshape(-1, pool).amax(1) ** power).sum(), "shared")
    mine = by_hand(all_to_each(pool, power))
    for others in ([first], [shared], [first, shared]):
        report = crossgrad.compare_gradients(mine, *others, args=(x,), dtype="float32")
        assert (report.verdict, blamed(report)) == ("disagree", ["by hand"]), str(report)
        (blame,) = report.blames
        assert blame.quantities == ("args[0]",)
        assert "none of those around" in blame.evidence
    assert compared(first, shared, x).verdict == "convention"


@pytest.mark.parametrize("units", [1, 3])
def test_a_loss_that_stands_still_to_one_side_of_a_kink_has_no_steps(units: int) -> None:
    """At 0 relu does not move down its gradient, which is no sign of narrower arithmetic."""

    def half(w: Any) -> Any:
        z = w["s"] + w["u"]
        return -torch.where(z > 0, z, torch.where(z == 0, z / 2, 0 * z)).sum()

    def wrong(w: Any) -> Any:
        z = w["s"] + w["u"]
        dz = -(z > 0).astype(z.dtype)
        return -np.maximum(z, 0).sum(), {"s": dz.sum(), "u": -2 * dz}

    report = compared(
        in_torch(half, "half"), by_hand(wrong, "wrong"), {"s": np.zeros(()), "u": np.zeros(units)}
    )
    assert report.verdict == "disagree"
    assert "half" not in blamed(report)


RELUS: dict[str, Callable[[Any], Any]] = {
    "zero": torch.relu,
    "between": lambda z: torch.clamp(z, min=0) / 2 + (z.abs() + z) / 4,
    "one": lambda z: torch.where(z >= 0, z, 0 * z),
}
LARGEST: dict[str, Callable[[Any], Any]] = {
    "first": lambda z: z.max(-1).values,
    "last": lambda z: z.flip(-1).max(-1).values,
    "shared": lambda z: z.amax(-1),
}


def network(relu: Callable[[Any], Any], largest: Callable[[Any], Any]) -> Callable[..., Any]:
    """Two layers, a maximum over pairs of units, and a penalty on what is largest of each unit's weights."""

    def loss(p: Any, x: Any, y: Any) -> Any:
        a = relu(x @ p["W"].T + p["b"])
        z = relu(a @ p["V"].T + p["c"])
        return (largest(z.reshape(len(z), -1, 2)) * y).sum() + largest(p["W"].abs()).sum()

    return loss


@pytest.mark.parametrize("seed", range(4))
def test_no_choice_in_a_network_of_kinks_is_blamed_nor_hides_a_fault(seed: int) -> None:
    draw = np.random.default_rng(seed)
    params = {
        "W": np.round(draw.normal(size=(8, 5))),
        "b": np.zeros(8),
        "V": draw.normal(size=(6, 8)),
        "c": np.zeros(6),
    }
    x, y = draw.normal(size=(10, 5)), draw.normal(size=(10, 3))
    x[: 1 + seed] = 0
    one, other = (
        network(RELUS[str(draw.choice(list(RELUS)))], LARGEST[str(draw.choice(list(LARGEST)))])
        for _ in range(2)
    )

    def wrong(p: Any, x: Any, y: Any) -> Any:
        leaf = ("W", "b", "V", "c")[seed % 4]
        return other({**p, leaf: 1.1 * p[leaf] - 0.1 * p[leaf].detach()}, x, y)

    report = compared(in_torch(one, "one"), in_torch(other, "other"), params, x, y)
    assert report.verdict in ("agree", "convention"), str(report)
    assert blamed(compared(in_torch(one, "one"), in_torch(wrong, "wrong"), params, x, y)) == ["wrong"]

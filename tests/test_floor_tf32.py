"""TF32, by candidates that round a product's operands as tensor cores do: right ones are not called wrong."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad import floor
from crossgrad.floor import rounding_floor
from crossgrad.mutants import random_case
from crossgrad.networks.dtypes import Array
from crossgrad.verdict import WRONG, over_floor

SHAPES = [("1-1-1", 1), ("3-4-2", 8), ("64-100-10", 32), ("784-100-10", 1024), ("8-8-8-8-8-8-8", 300)]

Way = Callable[[Array], Array]


def cut(values: Array) -> Array:
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.trunc(mantissa * np.float32(2**11)) / np.float32(2**11), exponent)


def nearest(values: Array) -> Array:
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.rint(mantissa * np.float32(2**11)) / np.float32(2**11), exponent)


def candidate(way: Way, dW_of: Callable[[Array], Array] = lambda dW: dW) -> Any:
    """Backprop in float32, its products of operands that are seen in TF32; mse."""

    def product(one: Array, other: Array) -> Array:
        return way(one) @ way(other)

    def gradients(params: Any, x: Array, y: Array) -> Any:
        outputs = [x]
        for W, b in params:
            outputs.append(1 / (1 + np.exp(-(product(outputs[-1], W.T) + b))))
        r = outputs[-1] - y
        da, found = r * np.float32(2 / r.size), []
        for (W, _), a_prev, a in zip(params[::-1], outputs[-2::-1], outputs[:0:-1], strict=True):
            dz = da * a * (1 - a)
            found.append((dW_of(product(dz.T, a_prev)), dz.sum(axis=0)))
            da = product(dz, W)
        return np.mean(r * r), found[::-1]

    return gradients


def verdicts(network: str, batch: int, gradients: Any) -> dict[str, str]:
    report = crossgrad.check(
        network, batch_size=batch, backends=["numpy"], dtypes=["tf32"], candidates={"mine": gradients}
    )
    return {c.quantity: c.verdict for c in report.comparisons}


@pytest.mark.parametrize("way", [nearest, cut])
@pytest.mark.parametrize(("network", "batch"), SHAPES)
def test_a_right_step_agrees(network: str, batch: int, way: Way) -> None:
    assert set(verdicts(network, batch, candidate(way)).values()) == {"agree"}


@pytest.mark.parametrize("way", [nearest, cut])
@pytest.mark.parametrize("seed", [*range(8), 44, 49, 113])
def test_a_right_step_of_a_random_network_has_room_to_spare(seed: int, way: Way) -> None:
    """The last three are those that came closest of 150."""
    case = replace(random_case(seed, "tf32", small=seed < 8), loss="mse")
    params = [(W, np.zeros(len(W), W.dtype) if b is None else b) for W, b in case.parameters]
    loss, gradients = candidate(way)(params, *case.batch)
    found = {"loss": loss} | {
        f"{kind}.{n}": array
        for n, pair in enumerate(gradients, start=1)
        for kind, array in zip(("dW", "db"), pair, strict=True)
    }
    expected = rounding_floor(case)
    for name in found.keys() & expected.value.keys():
        error = np.abs(found[name] - expected.value[name])
        if np.isfinite(error).all():
            assert over_floor(error, expected.sigma[name]) < 0.7, name


@pytest.mark.parametrize("way", [nearest, cut])
def test_independent_roundings_alone_would_call_it_wrong(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "off_by", lambda case, found: [])
    assert WRONG & {*verdicts("784-100-10", 1024, candidate(way)).values()}


@pytest.mark.parametrize("way", [nearest, cut])
@pytest.mark.parametrize(("network", "batch"), SHAPES)
def test_three_percent_too_much_are_found(network: str, batch: int, way: Way) -> None:
    wrong = verdicts(network, batch, candidate(way, lambda dW: dW * np.float32(1.03)))
    assert "disagree" in {wrong[name] for name in wrong if name.startswith("dW")}

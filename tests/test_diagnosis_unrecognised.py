"""The diagnosis of what it does not know: said to be unknown, and located where it can be."""

import numpy as np
import pytest

from crossgrad.diagnosis import diagnose
from crossgrad.floor import rounding_floor
from crossgrad.mutants import run_hooked

from .conftest import NATIVE
from .planted import VIEWS, case_for, delivered, diagnosed, with_element


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", NATIVE)
@pytest.mark.parametrize("seed", range(5))
def test_garbage_is_said_to_be_unrecognised(seed: int, dtype: str, view: str) -> None:
    case, rng = case_for(dtype), np.random.default_rng(seed)
    got = delivered(run_hooked(case).quantities, view)
    for name in ("dW.3", "dW.2", "db.2"):
        got[name] = got[name] * rng.normal(size=got[name].shape)
    found = diagnosed(case, got)
    assert found[0].cause == "unrecognised"
    assert "no cause recognised" in found[0].text
    assert all(d.confidence < 0.5 for d in found)


@pytest.mark.parametrize("view", VIEWS)
def test_what_is_not_finite_is_located(view: str) -> None:
    case = case_for("float32")
    got = delivered(run_hooked(case).quantities, view)
    got["dW.2"] = with_element(got["dW.2"], (0, 3), np.nan)
    found = diagnosed(case, got)
    assert found[0].cause == "elements"
    assert "[0, 3]" in found[0].text
    assert "not finite" in found[0].text


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_finite_is_unrecognised(view: str) -> None:
    case = case_for("float32")
    got = delivered(run_hooked(case).quantities, view)
    got["dW.2"] = np.full_like(got["dW.2"], np.nan)
    found = diagnosed(case, got)
    assert found[0].cause == "unrecognised"
    assert "16 of 16 elements" in found[0].text


def test_what_was_not_delivered_is_said() -> None:
    case = case_for("float32")
    got = delivered(run_hooked(case).quantities, "engine")
    del got["db.2"]
    (found,) = diagnose(case, got, ["db.2"], "db.2", rounding_floor(case))
    assert (found.cause, found.text) == ("shape", "db.2: it was not delivered")

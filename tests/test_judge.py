"""The judge shares no formula with the engines: a wrong one is blamed, and no right engine beside it."""

import ast
from pathlib import Path
from typing import Any

import pytest

import crossgrad
from crossgrad.backends.numpy.activations import Sigmoid
from crossgrad.backends.numpy.losses import SquaredError

from .conftest import load_or_skip

SPOILT = {
    "forward": (Sigmoid, "from_minus_z"),
    "backward": (Sigmoid, "backward"),
    "loss": (SquaredError, "value"),
    "loss-derivative": (SquaredError, "backward"),
}


@pytest.mark.parametrize("others", [[], ["torch"]], ids=["alone", "beside-torch"])
@pytest.mark.parametrize(("kind", "name"), SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize(("network", "oracle"), [("digits", "float64"), ("3-4-2", "auto")])
def test_a_formula_of_numpys_that_is_wrong_is_blamed_on_numpy(
    network: str, oracle: str, kind: Any, name: str, others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in others:
        load_or_skip(other)
    right = getattr(kind, name)

    def wrong(self: Any, first: Any, *more: Any) -> Any:
        found = right(self, first, *more)
        found *= found.dtype.type(1.01)
        return found

    monkeypatch.setattr(kind, name, wrong)
    report = crossgrad.check(network, backends=["numpy", *others], dtypes=["float32"], oracle=oracle)
    assert {blame.engine.backend for blame in report.cases[0].blames} == {"numpy"}


@pytest.mark.parametrize("module", ["arithmetic", "floor", "mathematics", "place", "verdict"])
def test_what_judges_imports_no_engine(module: str) -> None:
    (path,) = Path(crossgrad.__file__).parent.glob(f"{module}.py")
    imports = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
    assert imports
    assert [n.module for n in imports if "backends" in str(n.module)] == []

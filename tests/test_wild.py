"""Code of other packages, as ``benchmarks/wild.py`` runs it: some rows of each package, and the table."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("jax")

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
ROWS = [
    ("autograd", "autograd_functions", "sigmoid MLP", "float64"),
    ("autograd", "autograd_functions", "mixture of Gaussians: logsumexp", "float32"),
    ("autograd", "autograd_functions", "Gaussian process: cholesky, solve", "float64"),
    ("autograd", "autograd_functions", "maximum at ties", "float64"),
    pytest.param("flax", "flax_models", "Linear, LayerNorm, gelu", "float32", marks=pytest.mark.slow),
    pytest.param("flax", "flax_models", "gelu's default", "float32", marks=pytest.mark.slow),
    pytest.param("equinox", "equinox_models", "abs at ties", "float64", marks=pytest.mark.slow),
    ("optax", "optax_training", "huber_loss", "float32"),
    ("optax", "optax_training", "l2_loss", "float64"),
]


@pytest.fixture
def wild(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return lambda name: import_module(f"wild.{name}")


@pytest.mark.parametrize(("package", "file", "model", "dtype"), ROWS)
def test_a_row_is_as_expected(wild: Any, package: str, file: str, model: str, dtype: str) -> None:
    pytest.importorskip(package)
    found = {scenario.model: scenario for scenario in wild(file).SCENARIOS}
    judged = found[model].run(dtype)
    assert found[model].is_met_by(judged.verdict), judged
    assert judged.over_floor is not None
    assert (judged.over_floor > 1) == bool(found[model].differs)


def test_the_table_says_what_was_not_expected(wild: Any) -> None:
    row = {"package": "flax", "model": "Conv", "dtype": "float32", "expected": "agree", "verdict": "agree"}
    row |= {"as_expected": True, "over_floor": 0.123, "worst": "kernel", "blamed": [], "explanation": ""}
    strange = row | {"as_expected": False, "verdict": "disagree", "over_floor": None, "explanation": "why"}
    text = wild("table").table([row, strange])
    assert "0.12 " in text
    assert "disagree (!)" in text
    said = wild("table").summary([row, strange])
    assert said.startswith("2 comparisons, expected: 2 agree, 0 disagree, 0 undecidable; 1 are as expected")
    assert said.endswith("flax, Conv, float32: disagree\nwhy")

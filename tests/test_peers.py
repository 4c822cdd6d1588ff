"""The peers of ``benchmarks/peers.py``: every checker takes right gradients and rejects wrong ones."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossgrad.mutants import MUTANTS, Mutant
from crossgrad.mutants.hooked import run_hooked

from .conftest import make_case

pytest.importorskip("torch")
pytest.importorskip("jax")

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
CHECKERS = [
    "Crossgrad",
    "CrossgradOnGradients",
    "EpsilonsOfLargest",
    "AssertAllclose",
    "Allclose",
    "Chex",
    "TorchAssertClose",
    "DifferentiationInterfaceTest",
    "Polygraphy",
    "Gradbench",
    "Gradcheck",
    "GradcheckFast",
    "CheckGrads",
]


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return lambda name: import_module(f"peers.{name}")


def mutant(name: str) -> Mutant:
    return next(m for m in MUTANTS if m.name == name)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CHECKERS)
def test_a_checker_takes_what_is_right_and_rejects_what_is_wrong(peers: Any, name: str, dtype: str) -> None:
    found = {type(checker).__name__: checker for checker in peers("checkers").CHECKERS}
    assert list(found) == CHECKERS
    checker, case = found[name], make_case("3-4-2", dtype, batch_size=5)
    if checker not in peers("checkers").installed_checkers():
        pytest.skip(f"{checker.package} is not installed")
    if not checker.takes(case):
        pytest.skip(f"{checker.name} is for {', '.join(checker.dtypes)}")
    # numpy.testing and chex allow less than float32 rounds: they are given the reference itself.
    exacting = dtype == "float32" and name in ("AssertAllclose", "Chex")
    right = run_hooked(case).quantities
    if exacting:
        right = peers("checker").engine_gradients(case, ("torch", "eager"))
    accepts = checker.prepare(case, ("torch", "eager"))
    assert accepts(right)
    assert not accepts(mutant("loss-derivative-doubled").run(case).quantities)
    assert not accepts({name: np.zeros_like(array) for name, array in right.items()})


def test_rules_of_other_languages_do_what_their_sources_say(peers: Any) -> None:
    closeness, dtype = peers("closeness"), make_case("article", "float32").format
    tiny, nan = np.array([1e-6, 1.0]), np.array([np.nan, 1.0])
    zeros = np.array([0.0, 1.0])
    assert closeness.Gradbench().close(nan, tiny, dtype)
    assert not closeness.Polygraphy().close(nan, tiny, dtype)
    assert closeness.Polygraphy().close(tiny, zeros, dtype)
    assert not closeness.EpsilonsOfLargest().close(nan, tiny, dtype)
    rule = closeness.DifferentiationInterfaceTest()
    assert rule.close(tiny * (1 + 9e-4), tiny, dtype)
    assert not rule.close(tiny * (1 + 2e-3), tiny, dtype)
    assert not rule.close(nan, nan, dtype)


def test_the_matrix_of_two_cases(peers: Any, tmp_path: Path) -> None:
    checkers = [c for c in peers("checkers").CHECKERS if c.name in ("crossgrad", "numpy.allclose")]
    few = [mutant("dW-negated"), mutant("bias-not-added"), mutant("update-ascends")]
    trials, failures = peers("trials").run_trials(
        2, 0, ["float64", "float32"], checkers, smallest=3000, mutants=few
    )
    assert not failures
    figures = peers("figures")
    settings = {"seconds": 0, "cases": 2, "seed": 0, "dtypes": ["float64", "float32"]}
    result = json.loads(
        json.dumps(figures.document(trials, checkers, settings["dtypes"], settings, failures))
    )
    ours, theirs = (checker["dtypes"]["float64"] for checker in result["checkers"])
    assert ours["detected_of_all"]["of"] == theirs["detected_of_all"]["of"] > 0
    assert ours["detected_of_all"]["hits"] == ours["detected_of_all"]["of"]
    assert theirs["detected_of_visible"]["of"] < theirs["detected_of_all"]["of"]
    assert ours["false_alarms"]["hits"] == 0 < ours["false_alarms"]["of"]
    assert figures.text(result).count("crossgrad") == 2
    assert figures.markdown(result).splitlines()[2].startswith("| crossgrad | 100.0 % / 0.0 % | 100.0 % / ")
    if pytest.importorskip("matplotlib"):
        assert peers("plot").draw(result, tmp_path / "peers.svg")
        assert "numpy.allclose" in (tmp_path / "peers.svg").read_text()

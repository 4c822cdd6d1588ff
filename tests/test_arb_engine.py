"""The certified oracle as an engine: its certificate rounded, and nothing shared with other engines."""

import ast
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import crossgrad
from crossgrad.backends.base import BackendUnavailable, Unsupported
from crossgrad.engines import installed_backends

from .conftest import HALF, NATIVE, load_or_skip, make_case, skip

if find_spec("flint") is None:
    skip("arb", "python-flint is not installed")

from flint import ctx

from crossgrad.backends.arb import ArbBackend, certify

DTYPES = [*NATIVE, *HALF]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_engine_rounds_the_certificate(dtype: str) -> None:
    case = make_case("3-4-2", dtype, batch_size=5)
    before = ctx.prec, ctx.threads
    program = load_or_skip("arb").prepare(case, "ball", "cpu")
    values = program.put(case.parameters, case.batch)
    gradients, trace = program.gradients(program.step(values)), program.trace(values).quantities
    assert (ctx.prec, ctx.threads) == before
    assert set(gradients) == {"loss", "dW.1", "db.1", "dW.2", "db.2"}
    got = {name: (array.shape, array.dtype) for name, array in trace.items()}
    assert got == {q.name: (q.shape, case.format.storage) for q in case.quantities}
    for name, found in certify(case).quantities.items():
        error = np.abs(trace[name].astype(np.float64) - found.mid) / case.format.ulp(found.mid)
        assert error.max() <= 0.501
        if name in gradients:
            np.testing.assert_array_equal(gradients[name], trace[name])


def test_the_engine_says_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from crossgrad.networks.rules import ACTIVATIONS

    engine = ArbBackend()
    with pytest.raises(Unsupported, match="tf32"):
        engine.prepare(make_case("article", "tf32"), "ball", "cpu")
    with pytest.raises(BackendUnavailable, match="CUDA"):
        engine.prepare(make_case("article"), "ball", "cuda")
    monkeypatch.setitem(ACTIVATIONS, "cube", "a = z**3")
    case = make_case("3-4-2")
    object.__setattr__(case.network.layers[0], "activation", "cube")
    with pytest.raises(Unsupported, match="cube"):
        engine.prepare(case, "ball", "cpu")
    assert "flint" in engine.environment()


def test_it_runs_when_asked_for_and_only_then() -> None:
    assert "arb" not in installed_backends()
    report = crossgrad.check("7-5-3", backends=["arb", "numpy"], dtypes=DTYPES)
    report.raise_if_disagree()
    assert {run.engine.backend for case in report.cases for run in case.runs} == {"arb", "numpy"}


def test_it_is_said_where_it_judges_itself() -> None:
    for oracle, notes in (("arb", ["arb:ball@cpu is the oracle itself"]), ("wide", [])):
        report = crossgrad.check("3-2", backends=["arb", "numpy"], dtypes=["float32"], oracle=oracle)
        assert [note.partition(": that")[0] for note in report.notes] == notes


@pytest.mark.parametrize("oracle", ["arb", "wide"])
def test_an_oracle_shares_no_rule_with_an_engine(oracle: str) -> None:
    """Inside `backends` it imports its own modules and the contract, nothing else."""
    folder = Path(__file__).parents[1] / "backends" / oracle
    imported = {
        (node.level, node.module)
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    }
    own = {(1, file.stem) for file in folder.glob("*.py")}
    beyond = {
        (level, module) for level, module in imported - own if not (level == 3 and "networks" in module)
    }
    assert beyond == {(2, "base")}

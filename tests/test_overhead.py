"""What a comparison adds to its functions: ``benchmarks/overhead.py`` finds every run of them."""

from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("jax")


def test_every_run_of_a_function_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    overhead = import_module("overhead")
    monkeypatch.setattr(overhead, "NETWORK", "7-3-2")
    found = overhead.timed(overhead.comparison(("torch", "numpy")))
    assert found["runs"] == 24  # twelve of each
    assert 0 < found["overhead_seconds"] < found["total_seconds"]
    assert found["functions_seconds"] < found["total_seconds"]

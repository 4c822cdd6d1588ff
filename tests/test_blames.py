"""Of functions that are right for losses of their own none is wrong: part of ``benchmarks/blames.py``."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

LOSSES = ["mse", "on a million", "decay 1e-7", "relu", "gelu"]


@pytest.fixture
def blames(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    return import_module("blames")


@pytest.mark.parametrize("dtype", [pytest.param("float64", marks=pytest.mark.slow), "float32"])
def test_nobody_is_blamed_for_another_loss(blames: Any, dtype: str) -> None:
    pairs = len(LOSSES) * (len(LOSSES) - 1) // 2
    disagree, blamed = blames.blamed_in(LOSSES, 5, dtype)
    assert blamed == []
    assert disagree == pairs  # or there would be nobody to blame


def test_a_wrong_gradient_among_them_would_be_blamed(blames: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is detached from a layer: not the slope of its own loss."""
    right = blames.losses()

    def detached(params: Any, x: Any, targets: Any) -> Any:
        W, b, V, c = params
        return right["mse"]((2 * W - W.detach(), b, V, c), x, targets)

    monkeypatch.setattr(blames, "losses", lambda: right | {"detached": detached})
    _, blamed = blames.blamed_in(["detached", "relu"], 5, "float64")
    assert [one["blamed"] for one in blamed] == ["detached"]

"""``benchmarks/layouts.py``: each layout can be undone, and is what makes the difference."""

import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def layouts(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("layouts")


def test_what_is_undone_is_there(layouts: Any) -> None:
    """A name that has moved would be measured against itself."""
    for layout in layouts.LAYOUTS.values():
        pytest.importorskip(layout.backend)
        assert layout.undone or layout.variant != layout.other
        for target, instead in layout.undone.items():
            assert callable(pkgutil.resolve_name(target)) == callable(instead), target


def test_a_ratio_is_of_the_layout_over_none(layouts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock by which programs take as long as their W is transposed in memory, or not."""
    from crossgrad.backends.numpy.engine import NumpyProgram

    def seconds(program: Any, step: Any, calls: int) -> float:
        weights = [layer.W for layer in step.args[0].parameters]
        return 4.0 if all(W.flags.c_contiguous for W in weights) else 1.0

    monkeypatch.setattr(NumpyProgram, "seconds", seconds)
    (case,) = layouts.LAYOUTS["numpy-transposed"].cases
    assert layouts.ratios_of(layouts.LAYOUTS["numpy-transposed"], *case, rounds=3) == [0.25] * 3

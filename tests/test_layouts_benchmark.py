"""``benchmarks/layouts.py``: each layout can be undone, and is what makes the difference."""

import math
import pkgutil
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from crossgrad.backends.registry import load
from crossgrad.checking import plan_case
from crossgrad.networks.spec import Network

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def layouts(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("layouts")


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_what_is_undone_is_there(layouts: Any, backend: str) -> None:
    """A name that has moved would be measured against itself."""
    pytest.importorskip(backend)
    for layout in (found for found in layouts.LAYOUTS.values() if found.backend == backend):
        assert layout.undone or layout.variant != layout.other
        for target, instead in layout.undone.items():
            assert callable(pkgutil.resolve_name(target)) == callable(instead), target


def test_layouts_are_of_the_engines_that_are_tried_here(layouts: Any) -> None:
    assert {layout.backend for layout in layouts.LAYOUTS.values()} == {"numpy", "torch", "jax"}


def test_a_ratio_is_of_the_layout_over_none(layouts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock by which programs take as long as their W is transposed in memory, or not."""
    from crossgrad.backends.numpy.engine import NumpyProgram

    def seconds(program: Any, step: Any, calls: int) -> float:
        weights = [layer.W for layer in step.args[0].parameters]
        return 4.0 if all(W.flags.c_contiguous for W in weights) else 1.0

    monkeypatch.setattr(NumpyProgram, "seconds", seconds)
    (case,) = layouts.LAYOUTS["numpy-transposed"].cases
    assert layouts.ratios_of(layouts.LAYOUTS["numpy-transposed"], *case, rounds=3) == [0.25] * 3


@pytest.mark.parametrize("name", ["numpy-transposed", "numpy-samples"])
def test_every_case_of_numpys_is_laid_out_otherwise_if_undone(layouts: Any, name: str) -> None:
    from crossgrad.backends.numpy.multiply import layout_of

    layout = layouts.LAYOUTS[name]
    for network, batch_size, dtype in layout.cases:
        told = Network.from_widths(network).shapes, batch_size, np.dtype(dtype)
        found = layout_of(*told)
        with ExitStack() as patches:
            for target, instead in layout.undone.items():
                patches.enter_context(patch(target, instead))
            assert layout_of(*told) != found


JAX_ROWS = ["jax-rows", "jax-turned", "jax-named", "jax-given"]


@pytest.mark.parametrize("name", JAX_ROWS)
def test_undone_it_is_another_program(layouts: Any, name: str) -> None:
    """A program beside itself would have a ratio, too."""
    jax = pytest.importorskip("jax")
    layout = layouts.LAYOUTS[name]

    def told(network: str, batch_size: int, dtype: str) -> tuple[str, bool]:
        case = plan_case(network, dtype, batch_size=batch_size)
        program: Any = load("jax").prepare(case, "jit", "cpu")
        with jax.enable_x64(dtype == "float64"):
            step = jax.make_jaxpr(program._network_step)(*program._shapes(case))
        return str(step), program._gives_away

    cases = {case for case in layout.cases if math.prod(map(int, case[0].split("-")[:2])) <= 10**5} or {
        layout.cases[0]
    }
    for case in cases:
        with ExitStack() as patches:
            ours = told(*case)
            for target, value in layout.undone.items():
                patches.enter_context(patch(target, value))
            assert told(*case) != ours, case

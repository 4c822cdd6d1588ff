"""The laws of ``test_laws.py`` where engines lay matrices out as they do for large ones alone."""

import pytest

from . import test_laws
from .conftest import NATIVE, load_or_skip

ENGINES = [("numpy", "manual", "weights"), ("numpy", "manual", "samples"), ("jax", "jit", "products")]


@pytest.fixture(autouse=True)
def as_if_large(backend: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy's narrowing float32 layers transposed, or its samples; JAX's products laid out."""
    load_or_skip(backend)
    if what == "weights":
        monkeypatch.setattr("crossgrad.backends.numpy.multiply.TRANSPOSED_FROM", 0)
    elif what == "samples":
        monkeypatch.setattr("crossgrad.backends.numpy.multiply.WIDE_FROM", 1)
        monkeypatch.setattr("crossgrad.backends.numpy.multiply.FEW", range(1, 10**6))
    else:
        for gains in ("gains_by_copy", "gains_by_turning"):
            monkeypatch.setattr(f"crossgrad.backends.jax.layout.{gains}", lambda *shape: True)
        monkeypatch.setattr("crossgrad.backends.jax.program.GIVEN_AWAY_FROM", 0)


@pytest.mark.parametrize(("backend", "variant", "what"), ENGINES, ids=["numpy-W", "numpy-samples", "jax"])
class TestLaws:
    @pytest.mark.parametrize("dtype", [*NATIVE, "float16"])
    def test_trace_and_step_give_the_same_gradients(self, backend: str, variant: str, dtype: str) -> None:
        test_laws.test_trace_and_step_give_the_same_gradients(backend, variant, "cpu", dtype)

    @pytest.mark.parametrize("dtype", [*NATIVE, "float16"])
    def test_update_gives_the_parameters_of_the_trace(self, backend: str, variant: str, dtype: str) -> None:
        test_laws.test_update_gives_the_parameters_of_the_trace(backend, variant, "cpu", dtype)

    def test_step_is_repeatable_and_leaves_its_inputs_alone(self, backend: str, variant: str) -> None:
        test_laws.test_step_is_repeatable_and_leaves_its_inputs_alone(backend, variant, "cpu")

    def test_a_result_holds_until_the_next_step(self, backend: str, variant: str) -> None:
        test_laws.hold_to_the_next_step(backend, variant, "cpu")

    def test_updated_parameters_hold_until_the_next_update(self, backend: str, variant: str) -> None:
        test_laws.test_updated_parameters_hold_until_the_next_update(backend, variant, "cpu")

    def test_a_program_runs_on_the_numbers_of_another_case(self, backend: str, variant: str) -> None:
        test_laws.test_a_program_runs_on_the_numbers_of_another_case(backend, variant, "cpu")

"""The engines' timed core with pytest-benchmark: `make bench`, or one engine a process with ``-k torch``.

Thread pools of two frameworks in one process slow each other by up to two on
two cores: for figures that can be believed, name one engine.
"""

import pytest

from crossgrad.backends.base import BackendUnavailable
from crossgrad.backends.registry import load
from crossgrad.networks.catalogue import build_case, find_entry

ENGINES = [("numpy", "manual"), ("torch", "eager"), ("torch", "func"), ("jax", "jit")]


@pytest.mark.parametrize("network", ["article", "digits", "mnist-shape", "wide"])
@pytest.mark.parametrize(("backend", "variant"), ENGINES, ids=["-".join(pair) for pair in ENGINES])
def test_step(benchmark, backend: str, variant: str, network: str) -> None:
    case = build_case(find_entry(network), dtype="float32")
    try:
        program = load(backend).prepare(case, variant, "cpu")
    except BackendUnavailable as error:
        pytest.skip(str(error))
    values = program.put(case.parameters, case.batch)

    def step() -> object:
        result = program.step(values)
        program.synchronize()
        return result

    result = benchmark(step)
    assert set(program.gradients(result)) >= {"loss", "dW.1"}

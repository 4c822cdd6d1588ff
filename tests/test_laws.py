"""The laws of ``backends/base.py``, checked for every backend, variant and device."""

import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from crossgrad.backends.base import BackendUnavailable, Unsupported, device_name
from crossgrad.networks.dtypes import find_dtype
from crossgrad.networks.errors import InvalidInput

from .conftest import HALF, NATIVE, VARIANTS, engine_grid, load_or_skip, make_case, prepare_or_skip

FAST = [pair for pair in VARIANTS if pair[1] != "compile"]


@engine_grid(dtype=NATIVE)
def test_trace_and_step_give_the_same_gradients(backend: str, variant: str, device: str, dtype: str) -> None:
    """Law 6. Compilers may order sums differently in the two programs: a few ulp of the largest element."""
    case = make_case("3-4-2", dtype, batch_size=5)
    program = prepare_or_skip(case, backend, variant, device)
    values = program.put(case.parameters, case.batch)
    stepped, traced = program.gradients(program.step(values)), program.trace(values).quantities
    assert set(stepped) == {"loss", "dW.1", "db.1", "dW.2", "db.2"}
    for name, array in stepped.items():
        largest = np.abs(array).max() or 1.0
        np.testing.assert_allclose(traced[name], array, rtol=0, atol=4 * find_dtype(dtype).eps * largest)


@engine_grid(FAST, dtype=[*NATIVE, "float16", "bfloat16"])
def test_trace_has_every_quantity_in_shape_and_dtype(
    backend: str, variant: str, device: str, dtype: str
) -> None:
    case = make_case("3-4-2", dtype, batch_size=5)
    program = prepare_or_skip(case, backend, variant, device)
    trace = program.trace(program.put(case.parameters, case.batch))
    got = {name: (array.shape, array.dtype) for name, array in trace.quantities.items()}
    assert got == {q.name: (q.shape, case.format.storage) for q in case.quantities}


@engine_grid(FAST)
def test_step_is_repeatable_and_leaves_its_inputs_alone(backend: str, variant: str, device: str) -> None:
    case = make_case("3-4-2", "float32", batch_size=5)
    before = [array.copy() for array in (*case.batch, *case.parameters[0], *case.parameters[1])]
    program = prepare_or_skip(case, backend, variant, device)
    values = program.put(case.parameters, case.batch)
    first = program.gradients(program.step(values))
    program.trace(values)
    second = program.gradients(program.step(values))
    program.synchronize()
    for name, array in first.items():
        np.testing.assert_array_equal(second[name], array)
    after = (*case.batch, *case.parameters[0], *case.parameters[1])
    for array, original in zip(after, before, strict=True):
        np.testing.assert_array_equal(array, original)
        assert not array.flags.writeable


@engine_grid(FAST)
def test_a_program_runs_on_the_numbers_of_another_case(backend: str, variant: str, device: str) -> None:
    """Workers keep programs: whatever of the first case were left in one would spoil the second's results."""
    first, second = (make_case("3-4-2", "float32", batch_size=5, seed=seed) for seed in (0, 1))
    results = []
    for prepared in (first, second):
        program = prepare_or_skip(prepared, backend, variant, device)
        values = program.put(second.parameters, second.batch)
        stepped = program.gradients(program.step(values))
        results.append({**program.trace(values).quantities, **stepped})
    for name, array in results[0].items():
        np.testing.assert_array_equal(results[1][name], array)


def put_thrice(backend: str, variant: str, device: str) -> list[Any]:
    """Several of what `put` returns, as they are timed; then `synchronize`."""
    case = make_case("2048-2048", "float32", batch_size=1)
    program = prepare_or_skip(case, backend, variant, device)
    put = [program.put(case.parameters, case.batch) for _ in range(3)]
    program.synchronize()
    return put


@engine_grid([pair for pair in FAST if pair[0] == "jax"])
def test_what_was_put_has_arrived_once_synchronized(backend: str, variant: str, device: str) -> None:
    """Law 5, for `put`; copies on the CPU of NumPy's and PyTorch's are there at once."""
    import jax

    assert all(array.is_ready() for array in jax.tree.leaves(put_thrice(backend, variant, device)))


@engine_grid([pair for pair in FAST if pair[0] == "torch"], ["cuda"])
def test_the_stream_is_empty_once_synchronized(backend: str, variant: str, device: str) -> None:
    put_thrice(backend, variant, device)
    import torch

    assert torch.cuda.current_stream().query()


@engine_grid(dtype=[*NATIVE, *HALF])
def test_forward_gives_the_loss_of_the_step(backend: str, variant: str, device: str, dtype: str) -> None:
    """As in law 6: compilers may order sums differently in the two programs, by a few ulp."""
    case = make_case("3-4-2", dtype, batch_size=5)
    program = prepare_or_skip(case, backend, variant, device)
    values = program.put(case.parameters, case.batch)
    loss = offered(lambda: program.loss(program.forward(values)))
    stepped = program.gradients(program.step(values))["loss"]
    assert (loss.shape, loss.dtype) == ((), case.format.storage)
    assert abs(float(loss) - float(stepped)) <= 4 * case.format.eps * abs(float(stepped))


@engine_grid(dtype=[*NATIVE, *HALF])
def test_update_gives_the_parameters_of_the_trace(
    backend: str, variant: str, device: str, dtype: str
) -> None:
    """``p - lr * dp`` of gradients that are equal to a few ulp: a few ulp of the largest element."""
    case = make_case("3-4-2", dtype, batch_size=5)
    program = prepare_or_skip(case, backend, variant, device)
    values = program.put(case.parameters, case.batch)
    result = program.step(values)
    updated = offered(lambda: program.updated(program.update(values, result)))
    traced = program.trace(values).quantities
    assert set(updated) == {"W_new.1", "b_new.1", "W_new.2", "b_new.2"}
    for name, array in updated.items():
        want = traced[name].astype(np.float64)
        assert (array.shape, array.dtype) == (want.shape, case.format.storage)
        np.testing.assert_allclose(
            array.astype(np.float64), want, rtol=0, atol=4 * case.format.eps * np.abs(want).max()
        )
    for repeated in (lambda: result, lambda: program.step(values)):  # values and result are as they were
        again = program.updated(program.update(values, repeated()))
        for name, array in updated.items():  # and what was read is the reader's own
            np.testing.assert_array_equal(again[name], array)


@engine_grid(FAST)
def test_a_result_holds_until_the_next_step(backend: str, variant: str, device: str) -> None:
    hold_to_the_next_step(backend, variant, device)


@engine_grid([("jax", "jit")])
def test_a_result_whose_memory_the_next_step_takes_holds_until_then(
    backend: str, variant: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with gradients of 4 MiB, where fresh memory is slow."""
    load_or_skip(backend, device)
    monkeypatch.setattr("crossgrad.backends.jax.program.GIVEN_AWAY_FROM", 0)
    hold_to_the_next_step(backend, variant, device)


def hold_to_the_next_step(backend: str, variant: str, device: str) -> None:
    """Whatever runs in between, on whatever numbers; and what was read of it holds for good."""
    first, other = (make_case("3-4-2", "float32", batch_size=5, seed=seed) for seed in (0, 1))
    program = prepare_or_skip(first, backend, variant, device)
    values, others = (program.put(case.parameters, case.batch) for case in (first, other))
    result = program.step(values)
    early = program.gradients(result)
    kept = {name: array.copy() for name, array in early.items()}
    program.trace(others)
    with suppress(Unsupported):
        program.forward(others)
    late = program.gradients(result)
    program.gradients(program.step(others))
    again = program.gradients(program.step(values))
    for name, array in kept.items():
        np.testing.assert_array_equal(late[name], array)
        np.testing.assert_array_equal(early[name], array)
        np.testing.assert_array_equal(again[name], array)


@engine_grid(FAST)
def test_updated_parameters_hold_until_the_next_update(backend: str, variant: str, device: str) -> None:
    first, other = (make_case("3-4-2", "float32", batch_size=5, seed=seed) for seed in (0, 1))
    program = prepare_or_skip(first, backend, variant, device)
    values, others = (program.put(case.parameters, case.batch) for case in (first, other))
    native = offered(lambda: program.update(values, program.step(values)))
    early = {name: array.copy() for name, array in program.updated(native).items()}
    program.step(others)
    program.forward(others)
    program.trace(others)
    for name, array in program.updated(native).items():
        np.testing.assert_array_equal(array, early[name])


def offered(call: Callable[[], Any]) -> Any:
    """What a part of the contract returns that an engine may leave out, or a skip."""
    try:
        return call()
    except Unsupported as error:
        pytest.skip(f"unsupported, as it should say: {error}")


@engine_grid(FAST, ["cpu"], dtype=NATIVE)
def test_nothing_global_is_changed(backend: str, variant: str, device: str, dtype: str) -> None:
    """Law 7: settings, random states and the environment are as they were."""
    case = make_case("3-4-2", dtype, batch_size=5)
    load_or_skip(backend)
    before = global_state()
    program = prepare_or_skip(case, backend, variant, device)
    values = program.put(case.parameters, case.batch)
    program.gradients(program.step(values))
    program.trace(values)
    assert global_state() == before


def global_state() -> dict[str, object]:
    state: dict[str, object] = {
        "environment": dict(os.environ),
        "numpy errors": np.geterr(),
        "numpy random": str(np.random.get_state()),  # noqa: NPY002 - the global one is what must not move
    }
    if "torch" in sys.modules:
        import torch

        state |= {
            "default dtype": torch.get_default_dtype(),
            "grad mode": torch.is_grad_enabled(),
            "threads": torch.get_num_threads(),
            "cuda precision": torch.backends.cuda.matmul.fp32_precision,
            "cpu precision": torch.backends.mkldnn.matmul.fp32_precision,
            "torch random": torch.get_rng_state().tolist(),
        }
    if "jax" in sys.modules:
        import jax

        state |= {"x64": jax.config.jax_enable_x64, "precision": jax.config.jax_default_matmul_precision}
    return state


@engine_grid([("torch", "eager"), ("jax", "jit")])
def test_float32_is_ieee_whatever_the_user_has_set(backend: str, variant: str, device: str) -> None:
    """A user's TF32 setting neither reaches a float32 case nor is lost by it."""
    load_or_skip(backend, device)
    case = make_case("64-64-64", "float32")
    want = run_float32(case, backend, variant, device)
    with user_wants_tf32(backend):
        got = run_float32(case, backend, variant, device)
    for name, array in want.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-6 * np.abs(array).max())


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_why_there_is_no_device_is_said_in_the_frameworks_words(name: str) -> None:
    backend = load_or_skip(name)
    if any(device != "cpu" for device in backend.devices()):
        pytest.skip("there is one")
    why = backend.why_no_cuda()
    assert why
    with pytest.raises(
        BackendUnavailable, match=re.escape(f"sees no CUDA device here ({why}); it runs on cpu")
    ):
        backend.require_device("cuda")


def run_float32(case, backend, variant, device):
    program = prepare_or_skip(case, backend, variant, device)
    return program.gradients(program.step(program.put(case.parameters, case.batch)))


def user_wants_tf32(backend: str):
    if backend == "jax":
        import jax

        return jax.default_matmul_precision("tensorfloat32")
    from crossgrad.backends.torch.precision import matmul_precision

    return matmul_precision("tf32")


@pytest.mark.parametrize(("backend", "variant"), FAST, ids=["-".join(pair) for pair in FAST])
def test_what_it_cannot_do_is_said_by_name(backend: str, variant: str) -> None:
    """Law 8: no silent fallback."""
    engine = load_or_skip(backend)
    with pytest.raises(Unsupported, match="tf32"):
        engine.prepare(make_case("article", "tf32"), variant, "cpu")
    with pytest.raises(BackendUnavailable, match=r"cuda:99|cpu only|CUDA"):
        engine.prepare(make_case("article", "float32"), variant, "cuda:99")


@pytest.mark.parametrize(
    ("device", "triton", "missing"),
    [("cpu", True, r"C\+\+ compiler"), ("cuda", False, "Triton"), ("cuda:1", True, "C compiler")],
)
def test_tools_that_a_compiler_needs_are_said_by_name(
    device: str, triton: bool, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Law 8, before anything is compiled: no device is needed to find a tool missing."""
    load_or_skip("torch")
    from crossgrad.backends.torch import variants

    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(variants.sys, "platform", "linux")
    monkeypatch.setattr(variants, "find_spec", lambda name: object() if triton else None)
    with pytest.raises(BackendUnavailable, match=f"torch:compile needs .*{missing}"):
        variants.CompiledProgram(make_case("article", "float32"), device)


def test_forward_mode_refuses_what_is_not_small() -> None:
    with pytest.raises(Unsupported, match="small networks"):
        load_or_skip("jax").prepare(make_case("64-100-10", "float32"), "forward", "cpu")


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax"])
def test_a_missing_rule_is_said_by_name(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from crossgrad.networks.rules import ACTIVATIONS

    engine = load_or_skip(backend)
    monkeypatch.setitem(ACTIVATIONS, "cube", "a = z**3")
    case = make_case("3-4-2", "float32")
    object.__setattr__(case.network.layers[0], "activation", "cube")
    with pytest.raises(Unsupported, match="cube"):
        engine.prepare(case, engine.variants[0], "cpu")


def test_a_new_activation_needs_only_its_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registries are open: a name, a rule in each engine's words and the judge's, and no more."""
    import crossgrad
    from crossgrad import mathematics
    from crossgrad.backends.numpy import activations as numpy_rules
    from crossgrad.networks.rules import ACTIVATIONS

    load_or_skip("torch")
    load_or_skip("jax")
    from crossgrad.backends.jax import activations as jax_rules
    from crossgrad.backends.torch import activations as torch_rules

    class SquareRoot(numpy_rules.Kernel):
        def forward(self, z):
            return np.sqrt(z)

        def backward(self, da, a, out=None, spare=None):
            return np.divide(da, np.multiply(2, a, spare), out)

    monkeypatch.setitem(ACTIVATIONS, "root", "a = sqrt(z)")
    judged = mathematics.Activation(
        np.sqrt, lambda a: 1 / (2 * a), lambda lo, hi: (1 / (2 * hi), 1 / (2 * lo))
    )
    monkeypatch.setitem(mathematics.ACTIVATIONS, "root", judged)
    monkeypatch.setitem(numpy_rules.ACTIVATIONS, "root", numpy_rules.ActivationRule(SquareRoot))
    monkeypatch.setitem(torch_rules.ACTIVATIONS, "root", lambda z: z.sqrt())
    monkeypatch.setitem(jax_rules.ACTIVATIONS, "root", lambda z: z**0.5)
    network = crossgrad.Network(2, (crossgrad.Dense(3), crossgrad.Dense(2, activation="root")))
    rng = np.random.default_rng(0)
    params = [(rng.random((3, 2)), rng.random(3)), (rng.random((2, 3)), rng.random(2))]
    crossgrad.check(network, params=params, devices=["cpu"]).raise_if_disagree()


@pytest.mark.parametrize(
    ("text", "name"), [("cpu", "cpu"), ("cuda", "cuda"), ("cuda:0", "cuda"), ("cuda:3", "cuda:3")]
)
def test_device_names(text: str, name: str) -> None:
    assert device_name(text) == name


@pytest.mark.parametrize("text", ["gpu", "CPU", "cpu:1", "cuda:", "cuda:-1", "cuda:²", "cuda:1:2", ""])
def test_other_device_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="expected cpu, cuda or cuda:N"):
        device_name(text)

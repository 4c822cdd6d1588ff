"""Users' functions on each framework's arrays: what they are given, and what they may give."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.candidates import BACKENDS, CandidateFile, CandidateFunction
from crossgrad.run import run_candidate

from .candidates import NETWORK, STEPS, changed, check, import_torch, right, run_on
from .conftest import HALF, NATIVE, load_or_skip, make_case

DTYPES = [*NATIVE, *HALF]

BUGS = {
    "sign": "-dW, db",
    "half": "dW / 2, db / 2",
    "zero": "0 * dW, 0 * db",
    "transposed": "dW.T, db",
    "bias-forgotten": "dW, None",
    "not-a-number": "dW, db * float('nan')",
}
"""By bug: what becomes of each layer's gradient."""


# What is right is accepted, what is wrong is found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_right_candidate_agrees(backend: str, dtype: str) -> None:
    report = check(backend, right(backend), dtype)
    mine = [c for c in report.comparisons if c.engine.backend == "mine"]
    assert sorted(c.quantity for c in mine) == ["dW.1", "dW.2", "db.1", "db.2", "loss"]
    assert not {c.verdict for c in mine} - {"agree", "undecidable"}, [c for c in mine if c.verdict != "agree"]
    assert "agree" in {c.verdict for c in mine}


@pytest.mark.parametrize("dtype", [*NATIVE, "bfloat16"])
@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_planted_bug_is_found(backend: str, bug: str, dtype: str) -> None:
    report = check(backend, changed(backend, BUGS[bug]), dtype)
    wrong = {c.engine.backend for c in report.comparisons if c.verdict in ("disagree", "nonfinite-disagree")}
    assert (report.ok, wrong) == (False, {"mine"})
    (case,) = report.cases
    assert [blame.engine.backend for blame in case.blames] == ["mine"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_runs_in_a_worker(backend: str, tmp_path: Path) -> None:
    load_or_skip(backend)
    file = tmp_path / "mine.py"
    file.write_text(STEPS[backend])
    report = crossgrad.check(
        NETWORK,
        backends=["numpy"],
        candidates={"mine": CandidateFile.parse(str(file))},
        candidate_backend=backend,
        isolate=True,
    )
    report.raise_if_disagree()
    assert [run.status for case in report.cases for run in case.runs] == ["ok"] * 4


# What a function is given


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_gets_the_cases_bits_in_its_frameworks_arrays(backend: str, dtype: str) -> None:
    load_or_skip(backend)
    seen: list[Any] = []

    def candidate(params: Any, x: Any, y: Any) -> Any:
        seen.extend([type(array).__module__.partition(".")[0], str(array.dtype), array] for array in (
            *(array for pair in params for array in pair), x, y
        ))  # fmt: skip
        assert isinstance(params, list)
        assert all(isinstance(pair, tuple) for pair in params)
        return 0.0, [(None, None) for _ in params]

    case = make_case(NETWORK, dtype, batch_size=6)
    assert run_candidate(case, "mine", CandidateFunction(candidate, backend)).status == "ok"
    given = 2 * ([array for pair in case.parameters for array in pair] + list(case.batch))
    assert len(seen) == len(given) == 2 * 6  # it is called twice
    for (module, name, array), expected in zip(seen, given, strict=True):
        assert module.startswith({"numpy": "numpy", "torch": "torch", "jax": "jax"}[backend])
        assert name.removeprefix("torch.") == dtype
        widened = array.detach().double().numpy() if backend == "torch" else np.asarray(array, np.float64)
        np.testing.assert_array_equal(widened, np.asarray(expected, np.float64))


def test_torchs_parameters_are_leaves_that_require_grad() -> None:
    import_torch()

    def candidate(params: Any, x: Any, y: Any) -> Any:
        leaves = [array for pair in params for array in pair]
        assert all(leaf.is_leaf and leaf.requires_grad and leaf.grad is None for leaf in leaves)
        assert not x.requires_grad
        assert not y.requires_grad
        assert len({tensor.untyped_storage().data_ptr() for tensor in (*leaves, x, y)}) == 6
        return 0.0, [(None, None) for _ in params]

    assert run_on("torch", candidate).message is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_bias_is_none(backend: str) -> None:
    load_or_skip(backend)
    layers = (crossgrad.Dense(3, bias=False), crossgrad.Dense(2))

    def candidate(params: Any, x: Any, y: Any) -> Any:
        assert [b is None for _, b in params] == [True, False]
        return 0.0, [(W, b) for W, b in params]

    network = crossgrad.Network(4, layers)
    report = crossgrad.check(
        network,
        backends=["numpy"],
        dtypes=["float32"],
        candidates={"mine": candidate},
        candidate_backend=backend,
    )
    assert [run.status for run in report.cases[0].runs] == ["ok", "ok"]


def test_writing_into_torchs_tensors_harms_nobody() -> None:
    torch = import_torch()
    step = right("torch")

    def scribbler(params: Any, x: Any, y: Any) -> Any:
        found = step(params, x, y)
        with torch.no_grad():
            for tensor in (*(array for pair in params for array in pair), x, y):
                tensor.fill_(float("nan"))
        return found

    report = crossgrad.check(
        NETWORK,
        backends=["numpy"],
        dtypes=NATIVE,
        candidates={"scribbler": scribbler, "right": step},
        candidate_backend="torch",
    )
    report.raise_if_disagree()


@pytest.mark.parametrize("mode", ["no_grad", "inference_mode"])
def test_gradients_are_recorded_though_the_caller_switched_that_off(mode: str) -> None:
    torch = import_torch()
    with getattr(torch, mode)():
        check("torch", right("torch")).raise_if_disagree()


def test_x64_is_on_for_float64_and_off_again() -> None:
    load_or_skip("jax")
    import jax
    import jax.numpy as jnp

    seen: list[str] = []

    def candidate(params: Any, x: Any, y: Any) -> Any:
        seen.append(str(jnp.zeros(1).dtype))
        return 0.0, [(None, None) for _ in params]

    before = jax.config.read("jax_enable_x64")
    for dtype in NATIVE:
        run_on("jax", candidate, dtype)
    assert seen == [dtype for dtype in NATIVE for _ in range(2)]  # it is called twice
    assert jax.config.read("jax_enable_x64") == before


# What a function may give


def test_torch_may_give_any_mixture() -> None:
    torch = import_torch()
    step = right("torch")

    def mixed(params: Any, x: Any, y: Any) -> Any:
        loss, ((dW1, db1), (dW2, db2)) = step(params, x, y)
        in_graph = db2 * torch.ones_like(db2, requires_grad=True)
        return loss.item(), ([dW1.numpy(), db1.tolist()], (dW2.to_sparse(), in_graph))

    check("torch", mixed, "float64").raise_if_disagree()


def test_torchs_gradients_by_autograd_grad() -> None:
    torch = import_torch()

    def by_grad(params: Any, x: Any, y: Any) -> Any:
        a = x
        for W, b in params:
            a = torch.sigmoid(a @ W.T + b)
        loss = ((a - y) ** 2).mean()
        flat = torch.autograd.grad(loss, [array for pair in params for array in pair])
        return loss, list(zip(flat[::2], flat[1::2], strict=True))

    check("torch", by_grad).raise_if_disagree()


@pytest.mark.parametrize("dtype", NATIVE)
def test_what_is_on_cuda_comes_back(dtype: str) -> None:
    load_or_skip("torch", "cuda")
    step = right("torch")

    def on_cuda(params: Any, x: Any, y: Any) -> Any:
        leaves = [(W.detach().cuda().requires_grad_(), b.detach().cuda().requires_grad_()) for W, b in params]
        return step(leaves, x.cuda(), y.cuda())

    check("torch", on_cuda, dtype).raise_if_disagree()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("raise RuntimeError('not today')", RuntimeError),
        ("import sys\nsys.path.pop(0)\nsys.modules.pop(__name__)\n1 / 0", ZeroDivisionError),
        ("another = print", ImportError),
    ],
    ids=["raises", "cleans-up-itself", "no-such-function"],
)
def test_a_file_that_cannot_be_loaded_leaves_nothing_behind(
    content: str, error: type[Exception], tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text(content)
    before, modules = list(sys.path), set(sys.modules)
    with pytest.raises(error):
        CandidateFile("broken", tmp_path / "broken.py").load()
    assert sys.path == before
    assert set(sys.modules) == modules

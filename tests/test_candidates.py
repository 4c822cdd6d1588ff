"""Users' functions on each framework's arrays: what they are given, what they may give, what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.candidates import BACKENDS, CandidateFile, CandidateFunction
from crossgrad.networks.errors import InvalidInput
from crossgrad.run import Run, run_candidate

from .conftest import HALF, NATIVE, load_or_skip, make_case

NETWORK = "4-3-2"
DTYPES = [*NATIVE, *HALF]

NUMPY_STEP = """
import numpy as np

def gradients(params, x, y):
    a = [x]
    for W, b in params:
        a.append((1 / (1 + np.exp(-(a[-1] @ W.T + b)))).astype(x.dtype))
    residual = a[-1] - y
    da = residual * np.asarray(2 / y.size, x.dtype)
    grads = []
    for n, (W, b) in reversed(list(enumerate(params))):
        dz = da * a[n + 1] * (1 - a[n + 1])
        grads.insert(0, (dz.T @ a[n], dz.sum(axis=0)))
        da = dz @ W
    return np.mean(residual.astype(np.float64) ** 2), grads
"""

TORCH_STEP = """
import torch
from torch.nn.functional import linear, mse_loss

def gradients(params, x, y):
    a = x
    for W, b in params:
        a = torch.sigmoid(linear(a, W, b))
    loss = mse_loss(a, y)
    loss.backward()
    return loss, [(W.grad, b.grad) for W, b in params]
"""

JAX_STEP = """
import jax
import jax.numpy as jnp

def loss(params, x, y):
    a = x
    for W, b in params:
        a = jax.nn.sigmoid(a @ W.T + b)
    return jnp.mean((a - y) ** 2)

@jax.jit
def gradients(params, x, y):
    return jax.value_and_grad(loss)(params, x, y)
"""

STEPS = {"numpy": NUMPY_STEP, "torch": TORCH_STEP, "jax": JAX_STEP}
"""By framework: the right answer, as its users write it."""

BUGS = {
    "sign": "-dW, db",
    "half": "dW / 2, db / 2",
    "zero": "0 * dW, 0 * db",
    "transposed": "dW.T, db",
    "bias-forgotten": "dW, None",
    "not-a-number": "dW, db * float('nan')",
}
"""By bug: what becomes of each layer's gradient."""


def function_of(source: str) -> Callable[..., Any]:
    names: dict[str, Any] = {}
    exec(source, names)
    found: Callable[..., Any] = names["gradients"]
    return found


def right(backend: str) -> Callable[..., Any]:
    load_or_skip(backend)
    return function_of(STEPS[backend])


def changed(backend: str, expression: str) -> Callable[..., Any]:
    """The right answer with each layer's gradient made into `expression`, outside of any graph."""
    step = right(backend)
    change = eval(f"lambda dW, db: ({expression})")

    def candidate(params: Any, x: Any, y: Any) -> Any:
        loss, grads = step(params, x, y)
        return loss, [change(dW, db) for dW, db in grads]

    return candidate


def check(backend: str, function: Callable[..., Any], dtype: str = "float32") -> crossgrad.Report:
    return crossgrad.check(
        NETWORK,
        backends=["numpy"],
        dtypes=[dtype],
        batch_size=6,
        candidates={"mine": function},
        candidate_backend=backend,
    )


def run_on(backend: str, function: Callable[..., Any], dtype: str = "float32") -> Run:
    load_or_skip(backend)
    case = make_case(NETWORK, dtype, batch_size=6)
    return run_candidate(case, "mine", CandidateFunction(function, backend))


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
    given = [array for pair in case.parameters for array in pair] + list(case.batch)
    assert len(seen) == len(given) == 6
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
    assert seen == NATIVE
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


# What is refused


def refused(backend: str, expression: str, dtype: str = "float32") -> str:
    run = run_on(backend, changed(backend, expression), dtype)
    assert (run.status, run.trace, run.partial) == ("failed", None, True)
    assert run.message is not None
    return run.message


REFUSED = {
    "numpy-integers": ("numpy", "dW, db.astype(int)", "grads[0][1]: db.1 has dtype int64: expected floating"),
    "numpy-complex": ("numpy", "dW + 1j, db", "grads[0][0]: dW.1 has dtype complex64: expected real"),
    "torch-wider": ("torch", "dW.double(), db", "grads[0][0]: dW.1 has dtype torch.float64: expected torch."),
    "torch-narrower": ("torch", "dW, db.half()", "grads[0][1]: db.1 has dtype torch.float16: expected "),
    "torch-integers": ("torch", "dW.long(), db", "grads[0][0]: dW.1 has dtype torch.int64: expected torch."),
    "torch-no-data": ("torch", "dW.to('meta'), db", "grads[0][0]: dW.1, on device meta, cannot be read: "),
    "torch-not-a-pair": ("torch", "dW", "grads[0] is a Tensor: expected a pair (dW, db)"),
    "torch-numpy-integers": ("torch", "dW.numpy().astype(int), db", "grads[0][0]: dW.1 has dtype int64"),
    "jax-narrower": ("jax", "dW.astype('float16'), db", "grads[0][0]: dW.1 has dtype float16: expected"),
    "jax-integers": ("jax", "dW, db.astype(int)", "grads[0][1]: db.1 has dtype int32: expected float32"),
    "jax-dictionary": ("jax", "{'dW': dW}", "grads[0] is a dict: expected a pair (dW, db)"),
    "jax-text": ("jax", "dW, 'none'", "grads[0][1]: db.1 has dtype <U4: expected real numbers"),
}  # fmt: skip
"""By fault: framework, each layer's gradient, and what must be said."""


@pytest.mark.parametrize("fault", REFUSED)
def test_a_fault_is_named_with_its_place(fault: str) -> None:
    backend, expression, message = REFUSED[fault]
    assert message in refused(backend, expression)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ZeroDivisionError('by design')", "ZeroDivisionError: by design"),
        ("return None", "returned a NoneType: expected (loss, grads)"),
        ("return 0.0, None", "grads: expected a list of 2 pairs (dW, db), got NoneType"),
        ("return 0.0, params[:1]", "grads: expected a list of 2 pairs (dW, db), got 1 entries"),
        ("return params[0][0], x, y", "returned a tuple: expected (loss, grads)"),
        ("return 'low', [(W, b) for W, b in params]", "loss has dtype <U3: expected real numbers"),
    ],
    ids=["raises", "nothing", "no-gradients", "too-short", "triple", "text"],
)
def test_a_wrong_structure_costs_its_own_row(backend: str, body: str, message: str) -> None:
    load_or_skip(backend)
    report = check(backend, function_of(f"def gradients(params, x, y):\n    {body}"))
    (case,) = report.cases
    assert [run.status for run in case.runs] == ["ok", "failed"]
    assert report.verdict == "failed"
    assert message in case.problems[0]


@pytest.mark.parametrize(
    ("body", "hint"),
    [("x.requires_grad_()", True), ("x.at[0].set(0)", True), ("x + None", False), ("x.no_such_method", True)],
    ids=["torch", "jax", "a-bug-of-its-own", "unknown-method"],
)
def test_a_function_for_another_framework_is_told_the_way_out(body: str, hint: bool) -> None:
    run = run_on("numpy", function_of(f"def gradients(params, x, y):\n    {body}"))
    assert run.status == "failed"
    assert ("--candidate-backend torch or jax" in str(run.message)) == hint


def test_torchs_own_complaint_gets_the_hint_too() -> None:
    message = run_on("numpy", right("torch")).message
    assert "must be Tensor, not numpy.ndarray; it got NumPy's arrays: " in str(message)


def test_an_unread_gradient_in_jaxs_trace_is_refused() -> None:
    """A tracer that got out of its transformation, the classical leak."""
    load_or_skip("jax")
    import jax

    leaked: list[Any] = []

    def candidate(params: Any, x: Any, y: Any) -> Any:
        jax.jit(lambda W: leaked.append(W))(params[0][0])
        return 0.0, [(leaked[0], None), (None, None)]

    run = run_on("jax", candidate)
    assert run.status == "failed"
    assert "grads[0][0]: dW.1 cannot be read: " in str(run.message)


# What is not there


@pytest.mark.parametrize("isolate", [False, True], ids=["in-process", "isolated"])
def test_a_framework_that_is_missing_is_a_row(
    isolate: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said with the way to get it, and no pass: every candidate was asked for."""
    (tmp_path / "absent").mkdir()
    if isolate:
        # The worker is a process of its own: what is patched here would not be there.
        (tmp_path / "absent" / "torch.py").write_text("raise ImportError('no torch here')\n")
        monkeypatch.syspath_prepend(tmp_path / "absent")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "absent"))
    else:
        from crossgrad.backends import registry

        absent = registry._builtin("torch", "TorchBackend", 'pip install "crossgrad[torch]"')
        monkeypatch.setitem(
            registry._BUILTIN, "torch", type(absent)(**{**vars(absent), "requires": "no_such_package"})
        )
    file = tmp_path / "mine.py"
    file.write_text("def gradients(params, x, y):\n    return None\n")
    report = crossgrad.check(
        "article",
        backends=["numpy"],
        dtypes=["float32"],
        candidates={"mine": CandidateFile("mine", file, "gradients", "torch")},
        isolate=isolate,
    )
    (case,) = report.cases
    assert [run.status for run in case.runs] == ["ok", "missing"]
    assert report.verdict == "failed"
    expected = "no torch here" if isolate else 'torch is not installed: pip install "crossgrad[torch]"'
    assert expected in case.problems[0]


def test_an_unknown_framework_is_refused_before_anything_runs() -> None:
    with pytest.raises(InvalidInput, match=r"unknown candidate backend 'trch': did you mean torch\?"):
        crossgrad.check("article", candidates={"mine": len}, candidate_backend="trch")


# The command line


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_command_line_says_whose_arrays(
    backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], valid_report: Any
) -> None:
    from crossgrad.cli.app import run

    load_or_skip(backend)
    (tmp_path / "mine.py").write_text(STEPS[backend])
    arguments = ["check", "article", "-b", "numpy", "--candidate", f"{tmp_path}/mine.py", "--format", "json"]
    assert run([*arguments, "--candidate-backend", backend]) == 0
    document = valid_report(capsys.readouterr().out)
    mine = [run for case in document["cases"] for run in case["runs"] if run["backend"] == "mine"]
    assert [run["status"] for run in mine] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--candidate-backend", "torch"], "--candidate-backend torch goes with --candidate FILE.py"),
        (["--candidate", f"{__file__}", "--candidate-backend", "tensorflow"], "tensorflow"),
    ],
    ids=["without-a-candidate", "unknown"],
)
def test_options_that_make_no_sense(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from crossgrad.cli.app import run

    assert run(["check", "article", *arguments]) == 2
    written = capsys.readouterr()
    assert message in written.err
    assert "Traceback" not in written.out + written.err


def test_a_sweep_keeps_whose_arrays_and_asks_for_them_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from crossgrad.cli.app import run

    load_or_skip("torch")
    (tmp_path / "mine.py").write_text(TORCH_STEP.replace("b.grad)", "-b.grad)"))
    night, file = str(tmp_path / "night"), f"{tmp_path}/mine.py"
    mine = ["--candidate", file, "--candidate-backend", "torch"]
    plan = ["--cases", "1", "--width", "2..3", "--depth", "1", "-b", "numpy"]
    assert run(["sweep", *plan, *mine, "-o", night]) == 1
    assert f"--candidate mine={file}:gradients --candidate-backend torch" in capsys.readouterr().out
    assert run(["sweep", "--resume", night, "--candidate", file, "--cases", "2"]) == 2
    assert "--candidate-backend torch: give the same again" in capsys.readouterr().err
    assert run(["sweep", "--resume", night, *mine, "--cases", "2"]) == 1


def import_torch() -> Any:
    load_or_skip("torch")
    import torch

    return torch

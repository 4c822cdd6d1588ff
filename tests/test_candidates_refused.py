"""Users' functions that cannot be judged: what is refused, by its place, and what is not there."""

import re
from pathlib import Path
from typing import Any

import pytest

import crossgrad
from crossgrad.candidates import BACKENDS, CandidateFile
from crossgrad.networks.errors import InvalidInput
from crossgrad.workers.limits import Limits

from .candidates import STEPS, changed, check, function_of, right, run_on
from .conftest import load_or_skip

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
        ("return None", "returned a NoneType: expected a pair (loss, grads)"),
        ("return 0.0, None", "grads: expected a list of 2 pairs (dW, db), got a NoneType"),
        ("return 0.0, params[:1]", "grads: expected a list of 2 pairs (dW, db), got a list of 1"),
        ("return params[0][0], x, y", "returned a tuple of 3: expected a pair (loss, grads)"),
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
    ("backend", "body", "hint"),
    [
        ("numpy", "x.requires_grad_()", "torch or jax"),
        ("numpy", "x.at[0].set(0)", "torch or jax"),
        ("numpy", "x.no_such_method", "torch or jax"),
        ("numpy", "x + None", None),
        ("torch", "return numpy.exp(params[0][0]), None", "numpy or jax"),
        ("torch", "x.astype(float)", "numpy or jax"),
        ("torch", "x.no_such_method", None),
        ("jax", "x.fill(0)", "numpy or torch"),
        ("jax", "x + None", None),
    ],
)
def test_a_function_for_another_framework_is_told_the_way_out(
    backend: str, body: str, hint: str | None
) -> None:
    load_or_skip(backend)
    run = run_on(backend, function_of(f"import numpy\ndef gradients(params, x, y):\n    {body}"))
    assert run.status == "failed"
    _, _, told = str(run.message).partition("; it got ")
    assert told == (f"arrays of {backend}: give it others by --candidate-backend {hint}" if hint else "")


def test_torchs_own_complaint_gets_the_hint_too() -> None:
    message = run_on("numpy", right("torch")).message
    assert "must be Tensor, not numpy.ndarray (at " in str(message)
    assert "; it got arrays of numpy: " in str(message)


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


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"file": 3}, "candidate file 3: expected the path"),
        ({"backend": "trch"}, "unknown candidate backend 'trch': did you mean torch"),
    ],
    ids=["file", "backend"],
)
def test_a_candidate_file_is_refused_when_it_is_made(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(said)):
        crossgrad.CandidateFile(**{"name": "mine", "file": "mine.py", **wrong})


def test_a_function_in_a_file_is_limited_from_python_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("def gradients(params, x, y):\n    while True: pass\n")
    report = crossgrad.check(
        "3-2",
        backends=["numpy"],
        dtypes=["float64"],
        candidates={"mine": crossgrad.CandidateFile("mine", "mine.py")},
        isolate=True,
        limits=crossgrad.Limits(running=2),
    )
    assert [run.status for run in report.cases[0].runs] == ["ok", "timeout"]


@pytest.mark.parametrize("isolate", [False, True], ids=["here", "own-process"])
def test_an_exception_is_told_with_its_line(isolate: bool, tmp_path: Path) -> None:
    """The deepest one in the user's own file: what NumPy calls below it is not theirs."""
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\n\ndef helper(x):\n    return np.linalg.inv(x)\n\n"
        "def gradients(params, x, y):\n    return helper(np.zeros((2, 2)))\n"
    )
    candidate: Any = CandidateFile("mine", file, "gradients")
    if not isolate:
        candidate = candidate.load()
    report = crossgrad.check("3-2", backends=["numpy"], candidates={"mine": candidate}, isolate=isolate)
    assert report.cases[0].problems[0].endswith("LinAlgError: Singular matrix (at mine.py:4 in helper)")


@pytest.mark.parametrize("code", [0, 1, None])
def test_a_function_that_leaves_does_not_take_the_check_with_it(code: int | None) -> None:
    """In this process, an exit code 0 of the function's would be read as all agree."""

    def leaving(params: Any, x: Any, y: Any) -> Any:
        raise SystemExit(code)

    run = run_on("numpy", leaving)
    assert (run.status, str(run.message).partition(":")[0]) == ("failed", "SystemExit")


@pytest.mark.parametrize("name", ["numpy", "oracle", "oracle:mine"])
def test_names_of_engines_and_of_the_judge_are_taken(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"candidate '.*': .* has this name, choose another"):
        crossgrad.check("3-2", backends=["numpy"], candidates={name: right("numpy")})


@pytest.mark.parametrize("isolate", [False, True], ids=["here", "own-process"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("def gradients(params, x, y)\n    return None\n", "SyntaxError: expected ':' (mine.py, line 1)"),
        ("x = 1\nraise KeyError(x)\n", "KeyError: 1 (at mine.py:2 in <module>)"),
        ("import sys\nsys.exit('trained')\n", "SystemExit: trained (at mine.py:2 in <module>)"),
    ],
    ids=["syntax", "raises", "leaves"],
)
def test_a_file_that_cannot_be_loaded_is_told_in_its_own_words(
    content: str, said: str, isolate: bool, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(content)
    candidate = {"mine": CandidateFile("mine", file, "gradients")}
    report = crossgrad.check("3-2", backends=["numpy"], candidates=candidate, isolate=isolate)
    assert report.cases[0].problems[0] == f"mine:candidate@cpu: {said}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x = 3\n", "mine.py has no function gradients: it defines none"),
        ("from functools import reduce, wraps\n", "it defines none"),
        ("def grad(): pass\n", "it has grad; name one, as in --candidate mine.py:grad"),
        ("gradients = 3\ndef a(): pass\ndef b(): pass\n", "it has a and b; name one, as in"),
        ("".join(f"def f{n}(): pass\n" for n in range(8)), "it has f0, f1, f2, f3 and 4 more; name one"),
    ],
    ids=["none", "not-its-own", "one", "two", "many"],
)
def test_a_file_without_the_function_says_which_it_has(content: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(content)
    candidate = {"mine": CandidateFile("mine", file)}
    report = crossgrad.check("3-2", backends=["numpy"], candidates=candidate)
    assert said in report.cases[0].problems[0]


@pytest.mark.parametrize("given", [len, [len], {"": len}, {3: len}], ids=["bare", "list", "empty", "number"])
def test_candidates_come_by_name(given: Any) -> None:
    with pytest.raises(InvalidInput, match=r'as in \{"mine": gradients\}|expected some text'):
        crossgrad.check("3-2", backends=["numpy"], candidates=given)


@pytest.mark.parametrize("backend", BACKENDS)
def test_randomness_and_hidden_state_are_found(backend: str) -> None:
    """Without a second call they would look like a wrong gradient without a cause."""
    load_or_skip(backend)
    calls: list[int] = []
    correct = right(backend)

    def counting(params: Any, x: Any, y: Any) -> Any:
        calls.append(len(calls))
        loss, gradients = correct(params, x, y)
        return loss, [(dW * (1 + len(calls) % 2), db) for dW, db in gradients]

    run = run_on(backend, counting)
    assert run.status == "failed"
    assert "two runs on the same numbers differ, first at dW.1[0, 0]: " in str(run.message)
    assert "seed its randomness inside, and keep no state" in str(run.message)


def test_a_gradient_that_is_lost_the_second_time_is_hidden_state() -> None:
    calls: list[int] = []
    correct = right("numpy")

    def spoilt(params: Any, x: Any, y: Any) -> Any:
        calls.append(1)
        loss, gradients = correct(params, x, y)
        return loss, [(dW * (1 if len(calls) == 1 else float("nan")), db) for dW, db in gradients]

    run = run_on("numpy", spoilt)
    assert run.status == "failed"
    assert "two runs on the same numbers differ" in str(run.message)


def test_what_a_function_writes_into_its_arguments_is_not_seen_by_its_second_call() -> None:
    correct = right("numpy")

    def careless(params: Any, x: Any, y: Any) -> Any:
        found = correct(params, x, y)
        for W, b in params:
            W += 1
            b += 1
        return found

    assert run_on("numpy", careless).status == "ok"


def test_the_limit_is_of_one_call_not_of_both(tmp_path: Path) -> None:
    file = tmp_path / "slow.py"
    slowed = "    import time\n    time.sleep(2)\n    return gradients(params, x, y)\n"
    file.write_text(f"{STEPS['numpy']}\ndef slow(params, x, y):\n{slowed}")
    report = crossgrad.check(
        "3-2",
        backends=["numpy"],
        dtypes=["float64"],
        candidates={"slow": CandidateFile("slow", file, "slow")},
        isolate=True,
        limits=Limits(running=3),
    )
    assert [run.status for run in report.cases[0].runs] == ["ok", "ok"]

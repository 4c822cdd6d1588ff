"""``crossgrad reduce``: what is wrong is shown by a script of its own."""

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgrad.cli.app import run
from crossgrad.engines import EngineId
from crossgrad.networks.cases import Case
from crossgrad.scripts import script
from crossgrad.smaller import arrays, with_arrays

from .conftest import load_or_skip, make_case
from .drawn import cases
from .test_plugins import add_distribution, crossgrad

FAULTY = Path(__file__).parent / "faulty" / "crossgrad_faulty.py"
ROGUE = Path(__file__).parent / "rogue" / "crossgrad_rogue.py"


FAULTY_FUNCTION = """
def faulty(*given):
    loss, grads = gradients(*given)
    return loss, [(2 * dW if dW.shape[0] > 4 else dW, db) for dW, db in grads]
"""


def script_values(text: str) -> Mapping[str, Any]:
    """The dictionary `values` of a script, without running it."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "values":
            return ast.literal_eval(node.value)
    raise AssertionError("the script has no values")


def run_script(text: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    file = folder / "script.py"
    file.write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(file)],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


@pytest.mark.parametrize(
    ("backend", "variant", "dtype"),
    [
        ("numpy", "manual", "float16"),
        ("numpy", "manual", "float64"),
        ("torch", "eager", "float32"),
        pytest.param("torch", "func", "bfloat16", marks=pytest.mark.slow),
        ("jax", "jit", "float64"),
        pytest.param("jax", "forward", "float32", marks=pytest.mark.slow),
    ],
)
def test_the_script_of_a_right_engine_exits_with_0(
    backend: str, variant: str, dtype: str, tmp_path: Path
) -> None:
    load_or_skip(backend)
    case = make_case("3-4-2", dtype, batch_size=3, loss="half-mse")
    text = script(case, EngineId(backend, variant, "cpu"))
    assert "import crossgrad" not in text
    done = run_script(text, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first, *quantities, last = done.stdout.splitlines()
    assert f"numpy {np.__version__}" in first
    assert {line.partition(":")[0] for line in quantities} == {"loss", "dW1", "db1", "dW2", "db2"}
    assert all(": right; its largest difference" in line for line in quantities)
    assert last == "no disagreement"


@pytest.mark.parametrize("spoilt", ["-v", "v * np.nan", "v * 1.0001"])
def test_the_script_of_a_wrong_engine_exits_with_1(spoilt: str, tmp_path: Path) -> None:
    text = script(make_case("3-2", batch_size=2), EngineId("numpy", "manual", "cpu"))
    wrong = text.replace("found(), False", f"{{name: {spoilt} for name, v in found().items()}}, False")
    assert wrong != text
    done = run_script(wrong, tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "dW1: WRONG; its largest difference is" in done.stdout
    assert done.stdout.splitlines()[-1] == "numpy:manual@cpu is wrong"


@settings(max_examples=40)
@given(case=cases(), scale=st.sampled_from([1e-40, 1e-6, 1.0, 1e4]), engine=st.sampled_from(["torch", "jax"]))
def test_scripts_hold_the_exact_numbers(case: Case, scale: float, engine: str) -> None:
    x = np.asarray(case.batch.x, np.float64) * scale
    x[0, 0] = -0.0
    case = with_arrays(case, {"x": x})
    text = script(case, EngineId(engine, {"torch": "eager", "jax": "jit"}[engine], "cpu"))
    compile(text, "script.py", "exec")
    values = script_values(text)
    for name, array in arrays(case).items():
        written = np.array(values[name.replace(".", "")], np.float64)
        assert written.tobytes() == array.astype(np.float64).tobytes()


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the faulty plug-in."""
    folder = tmp_path_factory.mktemp("plugins")
    places = {"faulty": "crossgrad_faulty:FaultyBackend"}
    return add_distribution(folder, "crossgrad_faulty", places, {"crossgrad_faulty": FAULTY.read_text()})


def test_reduce_from_end_to_end(plugins: Path, tmp_path: Path) -> None:
    file = tmp_path / "bug.py"
    done = crossgrad(plugins, "reduce", "6-6-6-4", "-b", "faulty:no-batch-mean", "-o", str(file))
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "faulty:no-batch-mean@cpu is wrong on 6-6-6-4 float32"
    assert lines[1] == "original: 6-6-6-4, batch 32, 112 parameters"
    assert lines[2].startswith("reduced:  1-1, batch 2, 2 parameters (")
    assert any(line.strip().startswith("dW.1[0, 0]: got 0.57493") for line in lines)
    shown = run_script(file.read_text(), tmp_path, PYTHONPATH=str(plugins))
    assert (shown.returncode, shown.stderr) == (1, "")
    assert "dW.1: disagree" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "faulty:no-batch-mean@cpu is wrong"
    right = run_script(file.read_text().replace("no-batch-mean", "none"), tmp_path, PYTHONPATH=str(plugins))
    assert (right.returncode, right.stderr) == (0, "")


def test_stdout_is_a_script(plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.syspath_prepend(plugins)
    assert run(["reduce", "4-4-4", "-b", "faulty:nan", "--seed", "3", "--dtype", "float64"]) == 1
    written = capsys.readouterr()
    assert written.err == ""
    assert written.out.startswith("# faulty:nan@cpu is wrong on 4-4-4 float64\n")
    assert "dW.1[0, 0]: got nan, expected 0.28" in written.out
    shown = run_script(written.out, tmp_path, PYTHONPATH=str(plugins))
    assert (shown.returncode, shown.stderr) == (1, "")


@pytest.mark.parametrize("backend", ["numpy", pytest.param("torch", marks=pytest.mark.slow)])
def test_a_function_of_the_users_is_reduced(backend: str, tmp_path: Path, capsys) -> None:
    """A starter with a fault planted: from the command line to a script that calls the user's file."""
    load_or_skip(backend)
    file, bug = tmp_path / "mine.py", tmp_path / "bug.py"
    assert run(["new-candidate", str(file), "--candidate-backend", backend]) == 0
    right = file.read_text()
    chosen = ["64-20-10", "--candidate", str(file), "--candidate-backend", backend]
    assert run(["reduce", *chosen]) == 0
    assert "nothing to reduce: mine:candidate agrees on 64-20-10 float32" in capsys.readouterr().out
    file.write_text(f"{right}\n{FAULTY_FUNCTION}")
    chosen[2] += ":faulty"
    assert run(["reduce", *chosen, "-o", str(bug)]) == 1
    assert "reduced:  1-5, batch 1, 10 parameters" in capsys.readouterr().out
    shown = run_script(bug.read_text(), tmp_path)
    assert (shown.returncode, shown.stderr) == (1, "")
    assert shown.stdout.splitlines()[-1] == "mine:candidate@cpu is wrong"
    file.write_text(file.read_text().replace("2 * dW if", "dW if"))
    assert run_script(bug.read_text(), tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("while True: pass", "timeout: step took longer than 1 s"),
        ("os._exit(0)", "crashed: exit 0 in step"),
        ("sys.exit(0)", "failed: SystemExit: 0 (at mine.py:4 in gradients)"),
    ],
    ids=["hangs", "ends", "leaves"],
)
def test_what_a_function_does_to_its_process_is_told(body: str, said: str, tmp_path: Path, capsys) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"import os, sys\n\ndef gradients(params, x, y):\n    {body}\n")
    assert run(["reduce", "3-2", "--candidate", str(file), "--timeout", "1"]) == 3
    assert said in capsys.readouterr().err


def test_what_a_function_prints_is_not_in_the_script(tmp_path: Path, capfd) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "def gradients(params, x, y):\n"
        "    print('no Python (')\n"
        "    return 0.0, [(0 * W, 0 * b) for W, b in params]\n"
    )
    assert run(["reduce", "3-2", "--candidate", str(file)]) == 1
    compile(capfd.readouterr().out, "script", "exec")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["article", "-b", "numpy"], 0, "nothing to reduce: numpy:manual agrees on article float32"),
        (["3-2", "-b", "faulty:none"], 0, "nothing to reduce: faulty:none agrees on 3-2 float32"),
        (["3-2", "-b", "faulty:raises"], 3, "faulty:raises@cpu: failed: RuntimeError: planted failure"),
        (["3-2", "-b", "numpy", "-d", "cuda"], 3, "numpy:manual@cuda: missing: numpy runs on cpu only"),
        (["3-2", "-b", "numpy", "--dtype", "tf32"], 3, "numpy does not compute in tf32"),
        (["3-2", "-b", "numby"], 2, "did you mean numpy"),
        (["3-2", "-b", "numpy", "--oracle", "none"], 2, "a reduction needs a judge: auto, arb, wide"),
        (["3-2", "-b", "numpy", "--oracle", "delphi"], 2, "unknown oracle 'delphi'"),
        (["3-2", "-b", "numpy", "--dtype", "float23"], 2, "unknown dtype 'float23'"),
        (["3-2"], 2, "who is wrong? Name one engine by -b NAME, or one function by --candidate FILE.py"),
        (["3-2", "-b", "numpy", "-b", "torch"], 2, "--backend is given 2 times: this command takes one"),
        (["3-2", "-b", "numpy", "--candidate", __file__], 2, "who is wrong?"),
        (["3-2", "--candidate", f"numpy={__file__}"], 2, "an engine has this name"),
        (["3-2", "--candidate", __file__, "-d", "cuda"], 2, "a candidate runs on the CPU"),
        (["3-2", "--candidate", __file__], 3, "candidate@cpu: failed: ImportError"),
    ],
    ids=lambda value: "-".join(map(os.path.basename, value)) if isinstance(value, list) else "",
)
def test_exit_codes(
    arguments: list[str], code: int, said: str, plugins: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(plugins)
    assert run(["reduce", *arguments]) == code
    written = capsys.readouterr()
    assert said in written.out + written.err


def spoil(monkeypatch: pytest.MonkeyPatch, method: str, spoilt: Callable[..., Any]) -> None:
    from crossgrad.backends.numpy.engine import NumpyProgram

    right = getattr(NumpyProgram, method)
    monkeypatch.setattr(NumpyProgram, method, lambda *args: spoilt(right(*args)))


def test_a_fault_of_the_engine_alone_is_told_apart_by_the_script(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy is right where crossgrad's engine is wrong: the script exits with 0 and says what that means."""
    spoil(monkeypatch, "gradients", lambda found: found | {"dW.2": found["dW.2"] * np.float32(1.5)})
    file = tmp_path / "bug.py"
    assert run(["reduce", "5-4-3", "-b", "numpy", "--no-isolate", "-o", str(file)]) == 1
    assert "reduced:  1-1-1, batch 1, 4 parameters" in capsys.readouterr().out
    assert "import crossgrad" not in file.read_text()
    assert "the fault is not in numpy but in crossgrad's engine" in file.read_text().replace("\n# ", " ")
    assert run_script(file.read_text(), tmp_path).returncode == 0


def test_a_fault_beside_the_gradients_is_left_to_crossgrad(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, "_updated", lambda new: new + np.float32(1))
    file = tmp_path / "bug.py"
    assert run(["reduce", "5-4-3", "-b", "numpy", "--no-isolate", "-o", str(file)]) == 1
    assert "W_new.1[0, 0]: got" in capsys.readouterr().out
    text = file.read_text()
    assert "\nimport crossgrad\n" in text
    assert "neither loss nor gradient is wrong, but W_new.1" in text.replace("\n# ", " ")
    compile(text, "bug.py", "exec")


@pytest.fixture(scope="module")
def rogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rogue")
    places = {"rogue": "crossgrad_rogue:RogueBackend"}
    return add_distribution(folder, "crossgrad_rogue", places, {"crossgrad_rogue": ROGUE.read_text()})


@pytest.mark.parametrize("command", ["reduce", "trace"])
def test_an_engine_that_hangs_costs_its_own_row(
    command: str, rogue: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(rogue)
    assert run([command, "3-2", "-b", "rogue:hang", "--dtype", "float64", "--timeout", "3"]) == 3
    written = capsys.readouterr()
    assert "step took longer than 3 s" in written.out + written.err


@pytest.mark.parametrize("command", [["check"], ["sweep"], ["reduce", "-b", "numpy"], ["trace"]])
@pytest.mark.parametrize("option", ["--timeout", "--memory-limit"])
def test_limits_without_processes_are_refused(
    command: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = command
    network = [] if name == "sweep" else ["3-2"]
    assert run([name, *network, *rest, "--no-isolate", option, "5"]) == 2
    assert f"{option} 5 is for engines in processes of their own: leave out --no-isolate" in (
        capsys.readouterr().err
    )

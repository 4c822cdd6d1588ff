"""Engines from other packages: installed as a user installs them, run in a process of their own.

``examples/plugin`` must be as good a citizen as the built-in engines, and a
broken plug-in must cost its own row and nothing else.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossgrad.backends.registry import load

from .conftest import make_case

ROOT = Path(__file__).parents[1]
LITTER = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
LOOPS = ["-b", "numpy", "-b", "loops", "--dtype", "float64"]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example's and the faulty plug-in, put there by pip from copies of their sources."""
    sources = tmp_path_factory.mktemp("sources")
    for plugin in (ROOT / "examples" / "plugin", ROOT / "tests" / "faulty"):
        shutil.copytree(plugin, sources / plugin.name, ignore=LITTER)
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    pip += ["--no-deps", "--no-build-isolation", "--target", str(target)]
    done = subprocess.run([*pip, *map(str, sources.iterdir())], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def crossgrad(plugins: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m crossgrad`` with the packages in `plugins` installed beside it."""
    paths = [str(plugins), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, "-m", "crossgrad", *arguments],
        cwd=plugins.parent,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def add_distribution(folder: Path, name: str, engines: Mapping[str, str], modules: Mapping[str, str]) -> Path:
    """Put a distribution into `folder` as an installer leaves it: modules, metadata, entry points."""
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = ["[crossgrad.backends]", *(f"{engine} = {place}" for engine, place in engines.items())]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)
    return folder


def test_doctor_lists_installed_plugins(installed: Path) -> None:
    done = crossgrad(installed, "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    listed = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for name in ("loops", "faulty"):
        (line,) = (line for line in listed if line.startswith(f"ok {name} "))
        assert re.fullmatch(
            rf"ok {name} engine, 0\.1\.0, of crossgrad[-_]\w+, not loaded yet: .*--deep does", line
        )


def test_doctor_tells_of_an_engine_that_another_of_its_name_hides(tmp_path: Path) -> None:
    add_distribution(tmp_path, "mine", {"torch": "mine:Backend"}, {"mine": ""})
    done = crossgrad(tmp_path, "doctor")
    assert "engine of mine, not run: torch has one of this name, choose another" in done.stdout


@pytest.mark.parametrize("loss", ["mse", "mse-sum", "half-mse"])
def test_loops_agrees_with_numpy(installed: Path, tmp_path: Path, loss: str) -> None:
    unbiased = tmp_path / "unbiased.toml"
    unbiased.write_text("inputs = 3\n[[layers]]\nunits = 4\nbias = false\n[[layers]]\nunits = 2\n")
    networks = ["3-3-2", "article", "5-1-4", str(unbiased)]
    done = crossgrad(installed, "check", *networks, *LOOPS, "--loss", loss)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    closing = done.stdout.splitlines()[-1]
    assert closing.startswith("4 cases, 2 engines (numpy:manual@cpu, loops:plain@cpu), ")
    assert "all agree" in closing


def test_the_report_names_loops(installed: Path, valid_report) -> None:
    done = crossgrad(installed, "check", "3-3-2", *LOOPS, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    report = valid_report(done.stdout)
    assert report["verdict"] == "agree"
    assert report["environment"]["backends"]["loops"]["version"] == "0.1.0"
    (case,) = report["cases"]
    assert [(run["backend"], run["status"]) for run in case["runs"]] == [("numpy", "ok"), ("loops", "ok")]
    pairs = {(row["backend"], row["against"]) for row in case["comparisons"]}
    assert pairs == {("loops", "oracle:arb"), ("numpy", "oracle:arb")}


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (["--dtype", "float32"], "loops does not compute in float32, only in float64"),
        (["--dtype", "float64", "-d", "cuda:1"], "loops runs on cpu only, not on cuda:1"),
    ],
    ids=["dtype", "device"],
)
def test_loops_says_what_it_cannot_do(installed: Path, option: list[str], reason: str) -> None:
    done = crossgrad(installed, "check", "3-3-2", "-b", "numpy", "-b", "loops", *option)
    assert done.returncode == 3, done.stdout + done.stderr
    assert reason in done.stdout


def test_loops_obeys_the_laws(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(installed)
    case = make_case("3-4-2", "float64", batch_size=5)
    program = load("loops").prepare(case, "plain", "cpu")
    values = program.put(case.parameters, case.batch)
    gradients = program.gradients(program.step(values))
    trace = program.trace(values).quantities
    again = program.gradients(program.step(values))
    assert {name: (array.shape, array.dtype) for name, array in trace.items()} == {
        q.name: (q.shape, case.format.storage) for q in case.quantities
    }
    assert set(gradients) == {"loss", "dW.1", "db.1", "dW.2", "db.2"}
    for name, array in gradients.items():
        np.testing.assert_array_equal(trace[name], array, strict=True)
        np.testing.assert_array_equal(again[name], array, strict=True)


def test_a_faulty_plugin_is_rejected_from_end_to_end(installed: Path) -> None:
    done = crossgrad(installed, "check", "4-4-4", *LOOPS, "-b", "faulty:sign")
    assert (done.returncode, done.stderr) == (1, ""), done.stdout
    assert any("faulty:sign" in line and "disagree" in line for line in done.stdout.splitlines())
    assert "DISAGREE, first da.2 (faulty:sign@cpu against oracle:arb)" in done.stdout.splitlines()[-1]


def test_a_plugin_cannot_replace_a_builtin_engine(tmp_path: Path, valid_report) -> None:
    plugins = add_distribution(
        tmp_path / "plugins",
        "imposter",
        {"numpy": "imposter:Imposter"},
        {"imposter": "raise RuntimeError('the imposter was imported')\n"},
    )
    done = crossgrad(plugins, "check", "3-3-2", "-b", "numpy", "--dtype", "float32", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    report = valid_report(done.stdout)
    assert report["verdict"] == "agree"
    assert report["environment"]["backends"]["numpy"]["version"] == np.__version__


MODULES = {
    "import_fails": "raise RuntimeError('no licence')\n",
    "exits": "raise SystemExit('no licence')\n",
    "odd": """\
from crossgrad.backends.numpy import NumpyBackend

class Misnamed(NumpyBackend):
    name = "something-else"

class NoVariants(NumpyBackend):
    name = "no-variants"
    variants = ()

class NoDevices(NumpyBackend):
    name = "no-devices"
    def devices(self):
        raise RuntimeError("driver says no")

class Secretive(NumpyBackend):
    name = "secretive"
    def environment(self):
        raise RuntimeError("not telling")

class Odd(NumpyBackend):
    name = "odd"
    def environment(self):
        return {"folder": __import__("pathlib").Path("odd")}

class NotAnEngine:
    pass
""",
}

BROKEN = {
    "import-fails": (
        "import_fails:Engine",
        "import-fails is installed but fails to import: RuntimeError: no licence",
    ),
    "exits": ("exits:Engine", "exits is installed but fails to import: SystemExit: no licence"),
    "no-module": ("no_such_module:Engine", "no-module is not installed: pip install broken"),
    "no-class": ("odd:Nothing", "no-class is installed but fails to import: AttributeError"),
    "malformed": ("odd-module:Engine", "malformed is not installed: pip install broken"),
    "empty": (":", "empty is not installed: pip install broken"),
    "not-an-engine": ("odd:NotAnEngine", "odd:NotAnEngine is not a crossgrad Backend class"),
    "misnamed": ("odd:Misnamed", "calls itself 'something-else', but its entry point is 'misnamed'"),
    "no-devices": ("odd:NoDevices", "cannot say which devices it sees: RuntimeError: driver says no"),
    "no-variants": ("odd:NoVariants", "odd:NoVariants has variants (): expected a tuple"),
}
"""By name of the engine: its entry point, and what the report must say of it."""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    places = {name: place for name, (place, _) in BROKEN.items()}
    return add_distribution(tmp_path_factory.mktemp("broken"), "broken", places, MODULES)


@pytest.fixture(scope="module")
def broken_check(broken: Path) -> subprocess.CompletedProcess[str]:
    """One check of numpy and every broken engine."""
    engines = [part for name in ("numpy", *BROKEN) for part in ("-b", name)]
    return crossgrad(broken, "check", "3-3-2", *engines, "--dtype", "float32", "--format", "json")


def test_broken_plugins_leave_other_rows_intact(
    broken_check: subprocess.CompletedProcess[str], valid_report
) -> None:
    assert (broken_check.returncode, broken_check.stderr) == (3, "")
    report = valid_report(broken_check.stdout)
    assert report["verdict"] == "failed"
    (case,) = report["cases"]
    assert [run["backend"] for run in case["runs"] if run["status"] == "ok"] == ["numpy"]
    assert [row["verdict"] for row in case["comparisons"]] == ["agree"] * 18


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_says_why(
    broken_check: subprocess.CompletedProcess[str], valid_report, name: str
) -> None:
    _, reason = BROKEN[name]
    (case,) = valid_report(broken_check.stdout)["cases"]
    (run,) = [run for run in case["runs"] if run["backend"] == name]
    assert run["status"] == "missing"
    assert reason in run["message"]
    assert any(reason in problem for problem in case["problems"])


def test_an_odd_environment_does_not_cost_the_report(tmp_path: Path, valid_report) -> None:
    places = {"odd": "odd:Odd", "secretive": "odd:Secretive"}
    plugins = add_distribution(tmp_path / "plugins", "broken", places, MODULES)
    engines = ["-b", "odd", "-b", "secretive", "--dtype", "float32"]
    done = crossgrad(plugins, "check", "3-3-2", *engines, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    found = valid_report(done.stdout)["environment"]["backends"]
    assert found["odd"]["folder"] == "odd"
    assert found["secretive"]["error"] == "RuntimeError: not telling"


def test_doctor_lists_broken_plugins_without_importing_them(broken: Path) -> None:
    done = crossgrad(broken, "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    listed = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}
    assert listed["import-fails"] == listed["exits"] == "ok"
    assert listed["no-module"] == listed["malformed"] == listed["empty"] == "missing"


def test_a_broken_oracle_is_no_traceback(tmp_path: Path) -> None:
    """python-flint whose library is missing: auto goes on without it, and who asks for it is told."""
    (tmp_path / "flint.py").write_text('raise ImportError("libflint.so: no such file")\n')
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "crossgrad", "check", "3-2", "-b", "numpy", "--no-isolate"]

    def run(*more: str) -> Any:
        return subprocess.run([*command, *more], env=environment, capture_output=True, text=True, check=False)

    found, asked = run(), run("--oracle", "arb")
    assert (found.returncode, found.stderr) == (0, "")
    assert "oracle:arb" not in found.stdout
    assert (asked.returncode, asked.stdout) == (2, "")
    assert asked.stderr.startswith(
        "error: the oracle arb is installed but fails to import: ImportError: libflint"
    )

"""``benchmarks/run_cuda.sh`` on a machine without a device: what it refuses, takes from wheels, and tells."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "run_cuda.sh"

if shutil.which("bash") is None or shutil.which("timeout") is None:
    pytest.skip("run_cuda.sh needs bash and timeout", allow_module_level=True)


def run_cuda(*arguments: str | Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    command = ["bash", str(SCRIPT), "--python", sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=os.environ | environ, capture_output=True, text=True)


def plant_device(folder: Path, says: str, code: int = 0) -> str:
    """A PATH on which ``nvidia-smi`` says this; the rest of it is this machine's own."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{says}'\nexit {code}\n")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def make_wheel(folder: Path, name: str, content: str) -> None:
    """A wheel of one module, as small as pip takes it."""
    information = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": content,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{information}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        for file, text in {**files, f"{information}/RECORD": record}.items():
            wheel.writestr(file, text)


def make_overlay(target: Path, *wheels: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "benchmarks" / "cuda" / "overlay.py"), str(target)]
    return subprocess.run([*command, *map(str, wheels)], capture_output=True, text=True)


def test_the_script_is_well_formed() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)


def test_help_names_every_part_and_exit_code() -> None:
    done = run_cuda("--help")
    assert done.returncode == 0
    for word in ("--wheels DIR", "--part NAME", "tests, check, bench, scaling, large or cores", "Exit codes"):
        assert word in done.stdout
    assert "set -" not in done.stdout


@pytest.mark.parametrize(("says", "code"), [("", 0), ("NVIDIA-SMI has failed\\n", 9)], ids=["none", "fails"])
def test_without_a_device_it_says_so(tmp_path: Path, says: str, code: int) -> None:
    done = run_cuda("--out", tmp_path / "out", PATH=plant_device(tmp_path, says, code))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "run_cuda.sh: no CUDA device here: nvidia-smi shows none\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--part", "test"], "unknown part test: expected tests check bench scaling large cores"),
        (["--part"], "--part needs a value"),
        (["--fast"], "unknown argument --fast"),
        (["--wheels", "/nowhere"], "/nowhere: no such folder"),
        (["--limit", "9m"], "--limit 9m: expected seconds"),
        (["--rehearse", "--python", "no-such-python"], "no such Python"),
    ],
)
def test_wrong_usage(arguments: list[str], says: str) -> None:
    done = run_cuda(*arguments)
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.parametrize(("part", "code"), [("tests", 2), pytest.param("check", 0, marks=pytest.mark.slow)])
def test_what_a_part_needs_is_looked_for_before_it_begins(part: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "jsonschema.py").write_text("raise ImportError('no jsonschema here')\n")
    done = run_cuda("--rehearse", "--part", part, "--out", tmp_path / "out", PYTHONPATH=str(tmp_path))
    assert done.returncode == code, done.stdout + done.stderr
    assert ("no jsonschema here; what" in done.stderr) == (code == 2)


def test_wheels_bring_what_is_missing_and_nothing_else(tmp_path: Path) -> None:
    wheels, target = tmp_path / "wheels", tmp_path / "overlay"
    wheels.mkdir()
    make_wheel(wheels, "crossgrad_lacking", "here = True\n")
    make_wheel(wheels, "numpy", "raise SystemExit('not the machine's own')\n")
    done = make_overlay(target, wheels)
    assert done.returncode == 0, done.stderr
    assert "2 wheels, of which this Python lacked 1: crossgrad_lacking" in done.stdout
    assert (target / "crossgrad_lacking.py").exists()
    assert not (target / "numpy.py").exists()


def test_a_wheel_for_another_python_costs_no_other(tmp_path: Path) -> None:
    wheels, target = tmp_path / "wheels", tmp_path / "overlay"
    wheels.mkdir()
    make_wheel(wheels, "crossgrad_lacking", "here = True\n")
    (wheels / "crossgrad_other-1.0-cp27-cp27m-win32.whl").write_bytes(b"")
    done = make_overlay(target, wheels)
    assert done.returncode == 0, done.stderr
    assert "not for this Python: crossgrad_other" in done.stdout
    assert (target / "crossgrad_lacking.py").exists()


def test_the_source_has_a_version_without_being_installed(tmp_path: Path) -> None:
    assert make_overlay(tmp_path).returncode == 0
    done = subprocess.run(
        [sys.executable, "-S", "-c", "from importlib.metadata import version; print(version('crossgrad'))"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "0.1.0"


def test_rehearsal(tmp_path: Path) -> None:
    """What runs on a device runs here, as small as it can be; the results name the device and the version."""
    environ = {"PATH": plant_device(tmp_path, "Some GPU, 1.2, 3 MiB\\n")}
    arguments = ["--rehearse", "--out", tmp_path / "out", "--part", "check", "--part", "bench"]
    done = run_cuda(*arguments, "--engine", "numpy", **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["steps"]
    assert {step: entry["exit"] for step, entry in summary.items()} == {
        "check-float32": 0,
        "bench-article": 0,
    }
    for step in summary:
        document = json.loads((tmp_path / "out" / f"{step}.json").read_text())
        assert document["environment"]["crossgrad"] == "0.1.0"
        assert document["environment"]["backends"]["numpy"]["cuda_devices"] == ["Some GPU, 1.2, 3 MiB"]
    assert document["settings"]["processes"] == 1  # a part's time has room for no more


def test_a_part_that_fails_stops_no_other(tmp_path: Path) -> None:
    """Results of a rehearsal are not put where a device's are."""
    arguments = ["--rehearse", "--part", "check", "--part", "bench"]
    done = run_cuda(*arguments, "--engine", "numpy", "--limit", "0", TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.count("FAILED: ran out of time") == 4, done.stdout  # as they end, and in the summary
    (found,) = tmp_path.glob("*/summary.json")
    summary = json.loads(found.read_text())["steps"]
    assert [entry["exit"] for entry in summary.values()] == [124, 124]

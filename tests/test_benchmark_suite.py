"""The pytest-benchmark suite: it times every phase, and nothing that is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pytest_benchmark")

ROOT = Path(__file__).parents[1]
QUICK = ["--benchmark-min-rounds=1", "--benchmark-max-time=0.001"]

PLANTED = """
from crossgrad.backends.registry import load

SPOILT = {
    "float64": ("gradients", lambda found: found | {"dW.2": 1.5 * found["dW.2"]}),
    "float32": ("loss", lambda found: 2 * found),
    "bfloat16": ("updated", lambda found: found | {"W_new.1": -found["W_new.1"]}),
}
backend = type(load("numpy"))
prepare = backend.prepare


def prepare_wrong(self, case, variant, device):
    program = prepare(self, case, variant, device)
    method, spoil = SPOILT[case.dtype]
    right = getattr(program, method)
    setattr(program, method, lambda result: spoil(right(result)))
    return program


backend.prepare = prepare_wrong
"""
"""A plugin for pytest with which NumPy delivers something wrong, another thing in each dtype."""


def run_suite(folder: Path, select: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The suite in a pytest of its own, as quick as it can be, with plugins from `folder`."""
    command = [sys.executable, "-m", "pytest", "-q", "-rsf", "-p", "no:cacheprovider", "benchmarks"]
    return subprocess.run(
        [*command, "-k", select, *QUICK, *arguments],
        cwd=ROOT,
        env={**_without_xdist(), "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


def _without_xdist() -> dict[str, str]:
    """The environment, without what a worker of xdist is known by: pytest-benchmark is off in those."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}


def test_every_phase_is_timed(tmp_path: Path) -> None:
    document = tmp_path / "found.json"
    done = run_suite(tmp_path, "numpy and float64-article", f"--benchmark-json={document}")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(document.read_text())["benchmarks"]
    assert [row["group"] for row in found] == [
        f"article batch 1 float64 {phase}" for phase in ("forward", "step", "update")
    ]
    assert found[1]["name"] == "test_phase[numpy-manual-cpu-float64-article-step]"
    assert {row["extra_info"]["verdict"] for row in found} == {"agree"}


def test_what_is_wrong_is_not_timed(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(PLANTED)
    done = run_suite(tmp_path, "numpy and article and not tf32", "-p", "planted")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "9 failed" in done.stdout
    assert "Name (time in" not in done.stdout
    for said in ("not timed: dW.2", "not timed: forward gives the loss", "not timed: W_new.1"):
        assert said in done.stdout

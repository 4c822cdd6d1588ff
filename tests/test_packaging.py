"""What users get: the wheel's contents, and the wheel at work outside the checkout."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.version import Version

from .lowest import pins

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the files that git tracks, so that litter in the checkout cannot help."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs the git checkout")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive, check=True)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def test_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "HEAD", "backends", "crossgrad", "networks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    links = {"crossgrad/backends", "crossgrad/networks"}
    expected = {f if f.startswith("crossgrad/") else f"crossgrad/{f}" for f in tracked if f not in links}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected


def test_every_subpackage_is_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {"crossgrad"}
    for top in ("crossgrad", "backends", "networks"):
        for file in (ROOT / top).rglob("__init__.py"):
            parts = file.parent.relative_to(ROOT).parts
            found.add(".".join(parts if top == "crossgrad" else ("crossgrad", *parts)))
    assert set(declared) == found


def test_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    code = (
        "import crossgrad, sys; from crossgrad.cli.app import run;"
        f"assert crossgrad.__file__.startswith({str(target)!r}), crossgrad.__file__;"
        "sys.exit(run(['check', 'article', '-b', 'numpy', '--dtype', 'float32']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, "all agree" in done.stdout) == (0, True), done.stdout + done.stderr


def test_links_serve_the_static_tools_only() -> None:
    assert (ROOT / "crossgrad/backends").resolve() == ROOT / "backends"
    assert (ROOT / "crossgrad/networks").resolve() == ROOT / "networks"


def test_the_lowest_versions_that_are_allowed_are_those_that_are_tried() -> None:
    """``make oldest`` would otherwise show something else than what pyproject.toml promises."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [
        line for name, lines in project["optional-dependencies"].items() if name != "dev" for line in lines
    ]
    bounds = dict(line.split(">=") for line in project["dependencies"] + extras if ">=" in line)
    tried = dict(line.split("==") for line in pins(ROOT / "constraints-oldest.txt").values() if "==" in line)
    assert {name: Version(version) for name, version in tried.items()} == {
        name: Version(version) for name, version in bounds.items()
    }


def test_they_take_the_place_of_the_usual_ones() -> None:
    command = [sys.executable, "tests/lowest.py", "constraints.txt", "constraints-oldest.txt"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "numpy==2.0.0" in told
    assert "scipy<1.15" in told
    assert not [line for line in told if line.startswith(("numpy==2.4", "scipy=="))]
    assert len(told) == len(pins(ROOT / "constraints.txt"))

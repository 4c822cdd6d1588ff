"""Engines with the packages of another Python: two versions in one run, and none mistaken for the other."""

import json
import os
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import crossgrad
from crossgrad.cli.app import run
from crossgrad.networks.errors import InvalidInput
from crossgrad.pythons import OLDEST, OLDEST_NUMPY, as_pythons, parse_pythons

from .conftest import table
from .published import hold
from .test_plugins import add_distribution

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes of engines need Linux or macOS")

RISING = (
    "import numpy\n\ntrue = numpy.exp\nnumpy.exp = lambda x, out=None: numpy.multiply(true(x), 1.001, out)\n"
)
"""A NumPy whose exponential is a thousandth too large."""


def make_python(folder: Path, at_start: str = "") -> Path:
    """A virtual environment with this one's packages, and a crossgrad that breaks."""
    venv.create(folder, symlinks=True)
    place = packages_of(folder)
    place.mkdir(parents=True, exist_ok=True)
    these = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (place / "these.pth").write_text("\n".join(these) + "\n")
    (place / "crossgrad.py").write_text("raise RuntimeError('not this crossgrad')\n")
    (place / "sitecustomize.py").write_text(at_start)
    return folder


def packages_of(folder: Path) -> Path:
    return Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_python(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_python(tmp_path_factory.mktemp("wrong"), RISING)


def check(*backends: str, **pythons: Path) -> Any:
    return crossgrad.check(
        "article", backends=backends, dtypes=["float64"], pythons=pythons, isolate=True, devices=["cpu"]
    )


def test_two_pythons_agree_in_one_check(other: Path) -> None:
    report = check("numpy", "other/numpy", other=other)
    report.raise_if_disagree()
    told = json.loads(report.to_json())
    assert [run.engine.backend for run in report.cases[0].runs] == ["numpy", "other/numpy"]
    described = told["environment"]["backends"]["other/numpy"]
    assert described["python"].split(".")[:2] == [str(number) for number in sys.version_info[:2]]
    assert described["interpreter"] == f"{other}/bin/python"
    version = described["version"]
    (note,) = told["notes"]
    assert note.startswith(
        f"other/numpy: numpy {version} beside {version}, of Python {described['python']}, "
    )


def test_a_framework_that_computes_otherwise_there_is_found(wrong: Path) -> None:
    report = check("numpy", "wrong/numpy", wrong=wrong)
    assert report.verdict == "disagree"
    with pytest.raises(AssertionError, match=r"wrong/numpy:manual@cpu is wrong; the error enters at a\.1"):
        report.raise_if_disagree()


def test_variables_meant_for_this_python_do_not_reach_the_other(
    other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('not this NumPy')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    check("other/numpy", other=other).raise_if_disagree()


def test_check_takes_them_on_the_command_line(
    other: Path, valid_report: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["check", "article", "--dtype", "float64", "-d", "cpu", "--format", "json",
                "--python", f"other={other}", "-b", "numpy", "-b", "other/numpy:manual"])  # fmt: skip
    assert code == 0
    report = valid_report(capsys.readouterr().out)
    assert {"numpy", "other/numpy"} == report["environment"]["backends"].keys()


def bench(name: str, python: Path, processes: int, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    quick = ["--min-time", "0.02", "--rounds", "3", "--processes", str(processes), "--format", "json"]
    engines = ["--python", f"{name}={python}", "-b", "numpy", "-b", f"{name}/numpy", "-d", "cpu"]
    code = run(["bench", "6-5-4", *quick, *engines])
    found = json.loads(capsys.readouterr().out)
    hold(found, "bench")
    return code, found


def test_bench_takes_turns_between_them(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = bench("other", other, 2, capsys)
    assert code == 0
    steps = [row["backend"] for row in found["rows"] if row["phase"] == "step"]
    assert sorted(steps) == ["numpy", "other/numpy"]
    assert {"numpy", "other/numpy"} == found["environment"]["backends"].keys()


def test_bench_does_not_time_one_that_is_wrong(wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = bench("wrong", wrong, 1, capsys)
    assert code == 1
    assert {row["backend"] for row in found["rows"]} == {"numpy"}
    assert [problem["backend"] for problem in found["problems"]] == ["wrong/numpy"]


def test_a_python_that_breaks_after_it_was_looked_at_costs_its_own_row(tmp_path: Path) -> None:
    folder = make_python(tmp_path / "broken")
    as_pythons({"broken": folder})
    (packages_of(folder) / "sitecustomize.py").write_text("import sys\nsys.modules['numpy'] = None\n")
    here, there = check("numpy", "broken/numpy", broken=folder).cases[0].runs
    assert (here.status, there.status) == ("ok", "crashed")


def test_an_engine_that_the_other_python_lacks_is_missing_there(
    other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_distribution(tmp_path, "mine", {"mine": "mine:Mine"}, {"mine": ""})
    monkeypatch.syspath_prepend(str(tmp_path))
    report = check("numpy", "other/mine", other=other)
    (_, missing) = report.cases[0].runs
    assert missing.status == "missing"
    assert "unknown backend 'mine'" in missing.message


def test_a_home_directory_is_found(other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(other.parent))
    assert parse_pythons([f"other=~/{other.name}"]) == {"other": other / "bin" / "python"}


@table(
    {
        "no-path": ("old", "expected NAME=PATH, as in old=/path/to/a/venv"),
        "no-name": ("=/usr", "expected a name of letters"),
        "a-path-for-a-name": ("a/b=/usr", "expected a name of letters"),
        "nothing-there": ("old=/no/such/place", "there is no interpreter /no/such/place"),
        "no-environment": (f"old={Path(__file__).parent}", "there is no interpreter .*/tests/bin/python"),
        "no-python": ("old=/bin/ls", "/bin/ls is no Python"),
        "no-program": (f"old={__file__}", "cannot be run"),
        "no-name-of-a-file": ("old=" + "a" * 5000, "File name too long"),
        "no-user": ("old=~nobody-of-that-name/venv", "there is no interpreter"),
    }
)
def test_what_is_no_python_is_said(given: str, said: tuple[str]) -> None:
    with pytest.raises(InvalidInput, match=said[0]):
        parse_pythons([given])


def test_a_folder_may_have_python3_alone(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python3"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    assert parse_pythons([f"old={tmp_path}"]) == {"old": python}


def test_a_python_that_is_too_old_is_said(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho Python 3 9\n")
    old.chmod(0o755)
    with pytest.raises(InvalidInput, match=r"is Python 3\.9, and crossgrad needs 3\.11 or newer"):
        as_pythons({"old": old})


def test_a_python_without_numpy_is_said(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    with pytest.raises(InvalidInput, match=r"no NumPy that can be imported.*No module named 'numpy'"):
        as_pythons({"bare": tmp_path / "bare"})


def test_a_numpy_that_is_too_old_is_said(tmp_path: Path) -> None:
    """Its floating-point settings are not a context's: overflow would go unseen."""
    folder = make_python(tmp_path / "old", "import numpy\nnumpy.__version__ = '1.26.4'\n")
    with pytest.raises(InvalidInput, match=r"has NumPy 1\.26\.4, and crossgrad needs 2\.0 or newer"):
        as_pythons({"old": folder})


@pytest.mark.parametrize("at_start", ["print('hello')", r"import sys; sys.stdout.buffer.write(b'\xff\xfe')"])
def test_a_python_that_prints_at_its_start_is_one(
    at_start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does what lies in the directory that crossgrad was started in matter."""
    (tmp_path / "re.py").write_text("raise RuntimeError('not this re')\n")
    (tmp_path / "numpy.py").write_text("raise RuntimeError('not this NumPy')\n")
    noisy = make_python(tmp_path / "noisy", at_start + "\n")
    monkeypatch.chdir(tmp_path)
    check("noisy/numpy", noisy=noisy).raise_if_disagree()


def test_a_dtype_that_the_other_python_lacks_costs_its_own_row(tmp_path: Path) -> None:
    poor = make_python(tmp_path / "poor", "import sys\nsys.modules['ml_dtypes'] = None\n")
    options: dict[str, Any] = {"pythons": {"poor": poor}, "isolate": True, "devices": ["cpu"]}
    report = crossgrad.check("article", backends=["numpy", "poor/numpy"], dtypes=["bfloat16"], **options)
    here, there = report.cases[0].runs
    assert (here.status, there.status) == ("ok", "unsupported")
    assert "bfloat16 needs the package ml_dtypes" in there.message


def test_a_package_that_is_to_be_installed_there_is_said(tmp_path: Path) -> None:
    bare = make_python(tmp_path / "bare", "import sys\nsys.modules['flint'] = None\n")
    (row,) = check("bare/arb", bare=bare).cases[0].runs
    assert row.status == "missing"
    assert row.message == f"arb is not installed: {bare}/bin/python -m pip install python-flint"


@table(
    {
        "misspelt": ("othr/numpy", "unknown python 'othr': did you mean other"),
        "of-another": ("a/other/numpy", "unknown python 'a/other'"),
        "unknown-engine": ("other/nump", "unknown backend 'nump'"),
        "unused": ("numpy", "python 'other': no engine of it is asked for; add one, as in other/torch"),
    }
)
def test_engines_that_no_python_has_are_said(given: str, said: tuple[str], other: Path) -> None:
    with pytest.raises(InvalidInput, match=said[0]):
        check(given, other=other)


def test_engines_of_a_python_that_was_not_given_are_said() -> None:
    with pytest.raises(
        InvalidInput, match="no Python is called 'old'; check and bench take --python old=PATH"
    ):
        check("old/numpy")
    with pytest.raises(InvalidInput, match="unknown backend '/numpy'"):
        check("/numpy")


def test_pythons_that_are_no_table_of_paths_are_said(other: Path) -> None:
    with pytest.raises(InvalidInput, match="two Pythons are called 'other'"):
        parse_pythons([f"other={other}", f"other={other}"])
    for given in ("other=/x", ["other"], {1: other}, {"other": None}):
        with pytest.raises(InvalidInput, match=r"pythons (is|has)"):
            crossgrad.check("article", backends=["other/numpy"], pythons=given, isolate=True)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="need processes of their own: isolate=True"):
        crossgrad.check("article", backends=["other/numpy"], pythons={"other": other})


def test_the_oldest_python_is_that_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=" + ".".join(map(str, OLDEST))
    assert f"numpy>={OLDEST_NUMPY}.0" in project["dependencies"]

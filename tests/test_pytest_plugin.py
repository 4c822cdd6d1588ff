"""The pytest plugin, in test runs of its own."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from .published import hold

pytest_plugins = ["pytester"]

TESTS = """
    import numpy as np
    import pytest

    ARGS = np.array([1.0, 2.0], np.float32), np.array([3.0, 4.0], np.float32)

    def right(w, x):
        return ((w * x) ** 2).sum(), 2 * w * x**2

    def wrong(w, x):
        return ((w * x) ** 2).sum(), w * x**2

    def agree(crossgrad, one, other):
        crossgrad.assert_gradients_agree(
            crossgrad.gradient(one, "numpy", "one"), crossgrad.gradient(other, "numpy", "other"), args=ARGS
        )

    def test_right(crossgrad):
        agree(crossgrad, right, lambda w, x: right(w, x))

    def test_wrong(crossgrad):
        agree(crossgrad, right, wrong)

    @pytest.mark.gradients(dtypes=["float32", "float64"], seed=7)
    def test_marked(crossgrad):
        assert crossgrad.seed == 7
        assert crossgrad.rng.bit_generator.seed_seq.entropy == 7
        agree(crossgrad, right, lambda w, x: right(w, x))

    def test_check(crossgrad):
        crossgrad.check("3-2", backends=["numpy"])
"""


@pytest.fixture(autouse=True)
def other_plugins_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are installed here take seconds to import in each test run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "crossgrad.pytest_plugin")


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    pytester.makepyfile(TESTS)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)


def test_a_failure_says_who_is_wrong_and_how_to_see_it_again(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_PLUGINS"):
        monkeypatch.delenv(name)  # pytest finds what is installed
    result = run(pytester)
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *verdict: disagree (one, other; * comparisons in float32)",
            "E *other is wrong in args?0?: its gradient is not the slope *; it is 1/2 times *",
            "E *args?0?: * times the rounding noise allowed; at ?*? got *, expected *",
            'E *reproduce: pytest "*test_wrong" --crossgrad-seed 0',
        ]
    )
    assert "functions/comparing.py" not in result.stdout.str()  # the traceback ends in the user's own test


def test_nan_everywhere_fails_unless_it_is_let(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import numpy as np
        import pytest

        def nan(w):
            return w.sum() * np.nan, w * np.nan

        @pytest.mark.parametrize("options", [{}, {"allow_nonfinite": True}])
        def test_nan(crossgrad, options):
            both = [crossgrad.gradient(nan, "numpy", name) for name in ("one", "other")]
            crossgrad.assert_gradients_agree(*both, args=(np.ones(2),), **options)
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E *allow_nonfinite=True if they are meant to be*"])


def test_options_override_the_marker(pytester: pytest.Pytester) -> None:
    result = run(
        pytester, "--crossgrad-dtype", "float64", "--crossgrad-seed", "3", "-k", "right or marked", "-v"
    )
    result.assert_outcomes(passed=1, failed=1)  # the marked test asserts its own seed
    result.stdout.fnmatch_lines(["*test_right?float64? PASSED*", "*assert 3 == 7*"])


def test_a_marker_alone_selects(pytester: pytest.Pytester) -> None:
    result = run(pytester, "-m", "gradients", "--strict-markers")
    result.assert_outcomes(passed=2, deselected=3)


def test_draws_of_a_test_differ_and_come_again(pytester: pytest.Pytester) -> None:
    """A generator made anew for each draw would give y the numbers of x: zero residuals hide a fault."""
    pytester.makepyfile(
        """
        def test_draws(crossgrad):
            first, second = crossgrad.rng.normal(size=3), crossgrad.rng.normal(size=3)
            assert (first != second).all()
            print("drawn", *first, *second)
        """
    )
    lines = []
    for _ in range(2):
        result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-s")
        result.assert_outcomes(passed=1)
        lines += [line for line in result.outlines if "drawn" in line]
    assert lines[0] == lines[1]


WRONG_MARKERS = {
    'dtype="float32"': "*marker gradients(dtypes=None, seed=None): not dtype*",
    'dtypes=["float31"]': "*test_1: marker gradients(*float31*did you mean float32*",
    'dtypes=["tf32"]': "*test_2: marker gradients(*'tf32' is a way of multiplying*",
    "dtypes=3": "*test_3: marker gradients(*dtype is 3: expected a name, one of float16*",
    'seed="a"': "*test_4: marker gradients(*seed is 'a': expected a whole number*",
}


def test_wrong_markers_are_refused_before_a_test_runs(pytester: pytest.Pytester) -> None:
    """A file each: that a test cannot be collected is said of its file."""
    for number, marker in enumerate(WRONG_MARKERS):
        name, body = f"test_{number}", "(crossgrad):\n    pass\n"
        pytester.makepyfile(**{name: f"import pytest\n\n@pytest.mark.gradients({marker})\ndef {name}{body}"})
    refused(pytester, ["--continue-on-collection-errors"], WRONG_MARKERS.values())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--crossgrad-seed", "-1"], "*'-1': expected a whole number of at least 0*"),
        (["--crossgrad-dtype", "float31"], "*error: argument --crossgrad-dtype: *float31*float32*"),
        (["--crossgrad-dtype", "tf32"], "*error: argument --crossgrad-dtype: *'tf32' is a way of*"),
        (["--crossgrad-report", "nowhere/r.json"], "*--crossgrad-report nowhere*there is no folder*"),
        (["--crossgrad-report", "."], "*--crossgrad-report .: it is a folder*"),
    ],
    ids=["seed", "dtype", "tf32", "report", "report-folder"],
)
def test_wrong_options_are_refused_before_a_test_runs(
    options: list[str], said: str, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile("def test_nothing(crossgrad):\n    pass\n")
    refused(pytester, options, [said])


def refused(pytester: pytest.Pytester, options: Sequence[str], said: Iterable[str]) -> None:
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)
    assert result.ret != 0
    assert "passed" not in result.stdout.str()
    assert "pytest_plugin.py" not in result.stdout.str() + result.stderr.str()  # no traceback of ours
    assert "During handling" not in result.stdout.str()
    for line in said:
        assert any(fnmatch(told, line) for told in [*result.outlines, *result.errlines])


def test_dtypes_of_numpy_are_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import numpy as np
        import pytest

        @pytest.mark.gradients(dtypes=[np.float32, "float64"], seed=np.int64(3))
        def test_drawn(crossgrad):
            assert crossgrad.dtype in ("float32", "float64")
            assert crossgrad.seed == 3
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-v")
    result.stdout.fnmatch_lines(["*test_drawn?float32? PASSED*", "*test_drawn?float64? PASSED*"])


def test_the_command_can_be_typed_where_pytest_was(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyprojecttoml("[tool.pytest.ini_options]\n")
    folder = pytester.mkdir("sub")
    (folder / "test_below.py").write_text(textwrap.dedent(TESTS))
    monkeypatch.chdir(folder)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-k", "wrong")
    result.assert_outcomes(failed=1, deselected=4)
    result.stdout.fnmatch_lines(['E *reproduce: pytest "test_below.py::test_wrong" --crossgrad-seed 0'])


@pytest.mark.parametrize("workers", [0, 2], ids=["one-process", "xdist"])
def test_the_report_holds_every_comparison(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    if workers:
        pytest.importorskip("xdist")
        monkeypatch.setenv("PYTEST_PLUGINS", "crossgrad.pytest_plugin,xdist.plugin")
    spread = ["-n", str(workers)] if workers else []
    run(pytester, "--crossgrad-report", "found.json", *spread)
    document: dict[str, Any] = json.loads((pytester.path / "found.json").read_text())
    hold(document, "functions")
    outcomes = {entry["test"].partition("::")[2]: entry["outcome"] for entry in document["tests"]}
    assert outcomes == {
        "test_check": "passed",
        "test_marked[float32]": "passed",
        "test_marked[float64]": "passed",
        "test_right": "passed",
        "test_wrong": "failed",
    }
    verdicts = {
        entry["test"].partition("::")[2]: entry["reports"][0]["verdict"] for entry in document["tests"]
    }
    assert verdicts["test_wrong"] == "disagree"
    assert verdicts["test_check"] == "agree"


def test_a_report_that_cannot_be_written_is_said(pytester: pytest.Pytester) -> None:
    full = "/dev/full"
    if not Path(full).exists():
        pytest.skip(f"there is no {full}")
    result = run(pytester, "--crossgrad-report", full, "-k", "right")
    assert result.ret != 0
    assert f"{full}: No space left on device" in result.stdout.str() + result.stderr.str()


def test_runs_without_gradients_import_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n\ndef test():\n    heavy = {'numpy', 'torch', 'jax', 'pydantic', 'rich', 'typer'}\n"
        "    assert 'crossgrad.pytest_plugin' in sys.modules\n    assert not heavy & set(sys.modules)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout

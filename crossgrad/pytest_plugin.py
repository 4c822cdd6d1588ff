"""The pytest plugin: a fixture ``crossgrad``, a marker ``gradients``, and three options.

    def test_my_backprop(crossgrad):
        crossgrad.assert_gradients_agree(
            crossgrad.gradient(mine, "numpy"), crossgrad.loss(theirs, "torch"), args=(params, x, y)
        )

``@pytest.mark.gradients(dtypes=["float32", "float64"], seed=1)`` says on what a
test runs; ``--crossgrad-dtype`` and ``--crossgrad-seed`` say it for all. Nothing
is imported here that a run without gradients would wait for.
"""

import argparse
import json
import os
from collections.abc import Generator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    import numpy as np

    from .functions.function import Function
    from .functions.report import FunctionReport
    from .report import Report

SCHEMA = "crossgrad.pytest/1"
MARKER = "gradients(dtypes=None, seed=None): checks gradients, in these dtypes and with this seed"
KEPT = pytest.StashKey[list[dict[str, Any]]]()


class Checker:
    """What the fixture gives: `crossgrad`'s functions, with the dtype and the seed of the test.

    Attributes
    ----------
    dtype
        ``float32`` ..., or None: as the arguments are.
    seed
        Of all draws.
    """

    def __init__(self, node: str, dtype: str | None, seed: int, kept: list[dict[str, Any]]) -> None:
        self.dtype, self.seed = dtype, seed
        self._node, self._kept = node, kept

    @cached_property
    def rng(self) -> "np.random.Generator":
        """A generator with the test's seed, for parameters and data: one a test, every draw another."""
        import numpy as np

        return np.random.default_rng(self.seed)

    def loss(self, *args: Any, **options: Any) -> "Function":
        """`crossgrad.loss`."""
        from .functions.function import loss

        return loss(*args, **options)

    def gradient(self, *args: Any, **options: Any) -> "Function":
        """`crossgrad.gradient`."""
        from .functions.function import gradient

        return gradient(*args, **options)

    def compare_gradients(self, *functions: "Function", **options: Any) -> "FunctionReport":
        """`crossgrad.compare_gradients` in the test's dtype and with its seed."""
        from .functions.comparing import compare_gradients

        report = compare_gradients(*functions, **{"dtype": self.dtype, "seed": self.seed, **options})
        self._kept.append(report.to_dict())
        return report

    def assert_gradients_agree(
        self,
        *functions: "Function",
        allow_undecidable: bool = False,
        allow_nonfinite: bool = False,
        **options: Any,
    ) -> "FunctionReport":
        """`crossgrad.assert_gradients_agree` in the test's dtype and with its seed."""
        __tracebackhide__ = True
        report = self.compare_gradients(*functions, **options)
        self._require(report, allow_undecidable=allow_undecidable, allow_nonfinite=allow_nonfinite)
        return report

    def check(self, *args: Any, **options: Any) -> "Report":
        """`crossgrad.check` in the test's dtype and with its seed; raises unless all is in order."""
        __tracebackhide__ = True
        from .checking import check

        given = {"seed": self.seed} | ({} if self.dtype is None else {"dtypes": [self.dtype]})
        report = check(*args, **{**given, **options})
        self._kept.append(report.to_dict())
        self._require(report)
        return report

    def _require(self, report: "FunctionReport | Report", **options: Any) -> None:
        __tracebackhide__ = True
        from .report import GradientsDisagree

        try:
            report.raise_if_disagree(**options)
        except GradientsDisagree as found:
            text = f"{found}\nreproduce: {self._command()}"
            raise GradientsDisagree(text) from None

    def _command(self) -> str:
        dtype = "" if self.dtype is None else f" --crossgrad-dtype {self.dtype}"
        return f'pytest "{self._node}" --crossgrad-seed {self.seed}{dtype}'


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("crossgrad", "gradients")
    group.addoption(
        "--crossgrad-seed", type=_seed, metavar="N", help="Seed of every draw. Default: the marker's, or 0."
    )
    group.addoption(
        "--crossgrad-dtype",
        action="append",
        type=_dtype,
        metavar="NAME",
        help="Run tests of gradients in this dtype; repeatable. Default: the marker's, or as arguments are.",
    )
    group.addoption(
        "--crossgrad-report", type=Path, metavar="PATH", help="Write what was found there, as JSON."
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    path = config.getoption("--crossgrad-report")
    # xdist's workers send theirs to the main process.
    if path is not None and not hasattr(config, "workerinput"):
        if not path.absolute().parent.is_dir():
            raise pytest.UsageError(f"--crossgrad-report {path}: there is no folder {path.parent}")
        if path.is_dir():
            raise pytest.UsageError(f"--crossgrad-report {path}: it is a folder")
        config.pluginmanager.register(_Reporter(path), "crossgrad-reporter")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes the fixture is run in each dtype."""
    if "crossgrad" in metafunc.fixturenames:
        names = metafunc.config.getoption("--crossgrad-dtype") or _dtypes_of(metafunc.definition)
        if names:
            metafunc.parametrize("crossgrad", names, ids=names, indirect=True)


@pytest.fixture
def crossgrad(request: pytest.FixtureRequest) -> Checker:
    """Compare gradients; see `crossgrad.pytest_plugin.Checker`."""
    seed = request.config.getoption("--crossgrad-seed")
    if seed is None:
        seed = _seed_of(request.node)
    kept = request.node.stash.setdefault(KEPT, [])
    return Checker(_typed_here(request), getattr(request, "param", None), seed, kept)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Hang what was found on the report of the call, which xdist carries to the main process."""
    report = yield
    if report.when == "call" and item.stash.get(KEPT, None):
        report.crossgrad = item.stash[KEPT]
    return report


class _Reporter:
    """Gathers what every test found, and writes it at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tests: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found: Sequence[dict[str, Any]] | None = getattr(report, "crossgrad", None)
        if found:
            self._tests.append({"test": report.nodeid, "outcome": report.outcome, "reports": found})

    def pytest_sessionfinish(self) -> None:
        from .networks.files import reason_of, written_whole

        tests = sorted(self._tests, key=lambda entry: entry["test"])
        text = json.dumps({"schema": SCHEMA, "tests": tests}, indent=1, default=str) + "\n"
        try:
            with written_whole(self._path) as file:
                file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise pytest.UsageError(f"--crossgrad-report {self._path}: {reason_of(error)}") from None


def _typed_here(request: pytest.FixtureRequest) -> str:
    """The test as it is named where pytest was started: node ids begin at the root."""
    _, *names = request.node.nodeid.split("::")
    here = request.config.invocation_params.dir
    path = request.node.path
    return "::".join([os.path.relpath(path, here) if path.anchor == here.anchor else str(path), *names])


def _marked(node: Any, name: str) -> Any:
    marker = node.get_closest_marker("gradients")
    if marker is None:
        return None
    unknown = [*map(repr, marker.args), *(key for key in marker.kwargs if key not in ("dtypes", "seed"))]
    if unknown:
        _refuse(node, f"not {unknown[0]}")
    return marker.kwargs.get(name)


def _dtypes_of(node: Any) -> list[str]:
    """The dtypes of a test's marker, by name; its collection fails if one is unknown."""
    given = _marked(node, "dtypes")
    if given is None:
        return []
    from .functions.arguments import find_format
    from .networks.errors import InvalidInput

    try:
        return [find_format(dtype).name for dtype in (given if isinstance(given, list | tuple) else [given])]
    except InvalidInput as error:
        _refuse(node, str(error))


def _seed_of(node: Any) -> int:
    from .functions.options import read_seed
    from .networks.errors import InvalidInput

    try:
        return read_seed(_marked(node, "seed") or 0)
    except InvalidInput as error:
        _refuse(node, str(error))


def _refuse(node: Any, what: str) -> NoReturn:
    text = f"{node.nodeid}: marker gradients(dtypes=None, seed=None): {what}"
    raise pytest.fail.Exception(text, pytrace=False) from None  # or what it was told by is shown too


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least 0")
    return int(text)


def _dtype(text: str) -> str:
    from .functions.arguments import find_format
    from .networks.errors import InvalidInput

    try:
        return find_format(text).name
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error)) from None

"""What the tests run on: every engine x device x dtype, absent ones skipped in plain sight.

``CROSSGRAD_REQUIRE=numpy,torch,jax`` (and ``cuda``) turns the skip of an engine or device into a failure.
"""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import settings

from crossgrad.backends.base import Backend, BackendUnavailable, Program, Trace, Unsupported
from crossgrad.backends.registry import load
from crossgrad.networks.cases import Case
from crossgrad.networks.catalogue import build_case, find_entry

from .published import hold

COMPILED = tempfile.TemporaryDirectory(prefix="crossgrad-tests-")
"""JAX keeps here what it compiled, for the processes that the tests start too.

Each process of xdist has a folder of its own: JAX might read what another is still writing.
"""

os.environ |= {
    "JAX_COMPILATION_CACHE_DIR": COMPILED.name,
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}

settings.register_profile("crossgrad", deadline=None)  # no test asserts a time
settings.load_profile("crossgrad")

REQUIRED = {name for name in os.environ.get("CROSSGRAD_REQUIRE", "").split(",") if name}

VARIANTS = [
    ("numpy", "manual"),
    ("torch", "eager"),
    ("torch", "func"),
    ("torch", "compile"),
    ("torch", "cudagraph"),
    ("torch", "onednn"),
    ("jax", "jit"),
    ("jax", "nojit"),
    ("jax", "forward"),
]
DEFAULTS = [("numpy", "manual"), ("torch", "eager"), ("jax", "jit")]
DEVICES = ["cpu", "cuda"]
NATIVE = ["float32", "float64"]
HALF = ["float16", "bfloat16"]
SLOW_IN = {
    "compile": {"float64", "float16", "bfloat16"},
    "nojit": {"float64", "float16"},
    "forward": {"float64", "float16"},
}
"""These variants take seconds a case, and are slow tests in these dtypes: the others show the like."""


# `python -m crossgrad` that heeds Ctrl-C: what a shell starts in the background, and all that this starts,
# ignores SIGINT. Not by preexec_fn, which forks, and JAX's threads in the parent forbid that.
HEEDING = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("crossgrad", run_name="__main__", alter_sys=True)
"""


def skip(needed: str, reason: str) -> None:
    """Skip the test or the module, or fail it if `needed` is required here."""
    if needed in REQUIRED:
        pytest.fail(f"{needed} is required by CROSSGRAD_REQUIRE, but {reason}")
    pytest.skip(reason, allow_module_level=True)


def engine_grid(
    variants: list[tuple[str, str]] = VARIANTS, devices: list[str] = DEVICES, **more: list[str]
) -> Callable[..., Any]:
    """Parametrize over engines and devices and `more`, with ids such as torch-eager-cpu-float32-article."""
    names = ["backend", "variant", "device", *more]
    rows = [
        (*pair, device) for pair in variants for device in devices if pair[0] != "numpy" or device == "cpu"
    ]
    for values in more.values():
        rows = [(*row, value) for row in rows for value in values]
    return pytest.mark.parametrize(
        names, [pytest.param(*row, id="-".join(row), marks=_marks(row)) for row in rows]
    )


def _marks(row: Sequence[str]) -> list[pytest.MarkDecorator]:
    _, variant, _, *more = row
    return [pytest.mark.slow] if SLOW_IN.get(variant, set()) & {*more} else []


def table(rows: dict[str, tuple[Any, ...]]) -> Callable[..., Any]:
    """Parametrize over (given, *said) rows under their keys."""
    values = [(row[0], row[1:]) for row in rows.values()]
    return pytest.mark.parametrize(("given", "said"), values, ids=list(rows))


def make_case(network: str = "article", dtype: str = "float32", **options: Any) -> Case:
    return build_case(find_entry(network), dtype=dtype, **options)


def load_or_skip(name: str, device: str = "cpu") -> Backend:
    try:
        backend = load(name)
    except BackendUnavailable as error:
        skip(name, str(error))
    if device not in backend.devices():
        skip("cuda", f"{name} sees no {device} here")
    return backend


def prepare_or_skip(case: Case, backend: str, variant: str, device: str) -> Program:
    """The program of an engine, or a skip: absent engine, absent device, or said to be unsupported."""
    try:
        return load_or_skip(backend, device).prepare(case, variant, device)
    except Unsupported as error:
        pytest.skip(f"unsupported, as it should say: {error}")


def run_trace(case: Case, backend: str, variant: str, device: str = "cpu") -> Trace:
    program = prepare_or_skip(case, backend, variant, device)
    return program.trace(program.put(case.parameters, case.batch))


@pytest.fixture(scope="session")
def valid_report() -> Callable[[str], dict[str, Any]]:
    """Parse a JSON report and hold it against the published schema."""

    def parse(text: str) -> dict[str, Any]:
        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is not JSON")

        document: dict[str, Any] = json.loads(text, parse_constant=refuse)
        hold(document, "report")
        return document

    return parse

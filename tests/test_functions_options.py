"""What is refused before and beside the functions: options and arguments, by name and with the way out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad

from .conftest import load_or_skip
from .test_functions_refused import simple

W = np.arange(1.0, 6.0)
X = np.random.default_rng(0).normal(size=(20, 5))


def plain(w: Any, x: Any) -> Any:
    return ((x @ w) ** 2).mean(), 2 * x.T @ (x @ w) / len(x)


def ported(p: Any, x: Any) -> Any:
    loss, gradient = plain(p["kernel"][0], x)
    return loss, {"kernel": gradient[None]}


def original(p: Any, x: Any) -> Any:
    loss, gradient = plain(p["weight"][:, 0], x)
    return loss, {"weight": gradient[:, None]}


def compared(**options: Any) -> Any:
    port = crossgrad.gradient(ported, "numpy", "port", args=({"kernel": W[None]}, X))
    ours = crossgrad.gradient(original, "numpy", "original")
    given = {"rename": {"kernel": "weight"}, "transpose": ["kernel"], "args": ({"weight": W[:, None]}, X)}
    return crossgrad.compare_gradients(port, ours, **{**given, **options})


@pytest.mark.parametrize(
    "transpose", ["kernel", ["kernel"], {"kernel"}, {"kernel": (1, 0)}, {"kernel": [1, 0]}]
)
def test_names_and_axes(transpose: Any) -> None:
    assert compared(transpose=transpose).verdict == "agree"


@pytest.mark.parametrize("argnums", [0, np.int64(0), np.array(0)], ids=repr)
def test_whole_numbers_of_numpy_are_taken(argnums: Any) -> None:
    report = compared(argnums=argnums, repeats=np.int64(2), seed=np.uint8(3))
    assert (report.ok, report.repeats, report.seed) == (True, 2, 3)
    assert report.to_json()


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32")], ids=repr)
def test_a_dtype_of_numpy_is_taken(dtype: Any) -> None:
    assert compared(dtype=dtype, repeats=2).dtype == "float32"


def test_a_name_alone_is_no_set_of_its_parts() -> None:
    """'kernel' is in 'kernel/deep', as text."""
    with pytest.raises(crossgrad.InvalidInput, match=r"kernel has shape \(1, 5\), expected \(5, 1\)"):
        compared(transpose="kernel/deep")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"transpose": {"kernel": 1}}, "transpose gives kernel the axes 1: expected", id="axis"),
        pytest.param({"transpose": {"kernel": "ab"}}, "gives kernel the axes 'ab': expected", id="no-axes"),
        pytest.param({"transpose": True}, "transpose is True: expected names", id="transpose-bool"),
        pytest.param({"transpose": [1]}, "transpose is [1]: expected names", id="transpose-number"),
        pytest.param(
            {"transpose": ["kernl"]}, "transpose names 'kernl': did you mean kernel?", id="transpose-typo"
        ),
        pytest.param(
            {"transpose": ["kernel", "kernle"]},
            "transpose names 'kernle' (did you mean kernel?): no function has that; there are kernel and",
            id="transpose-unknown",
        ),
        pytest.param(
            {"rename": {"kernl": "weight"}}, "rename names 'kernl': did you mean kernel?", id="rename-typo"
        ),
        pytest.param(
            {"rename": {"kernel": "weigt"}}, "rename names 'weigt': did you mean weight?", id="rename-to-typo"
        ),
        pytest.param(
            {"rename": {"kernel": "weight", "scale": "weight"}},
            "rename names 'scale': no function has that",
            id="rename-unknown",
        ),
        pytest.param({"rename": [("a", "b")]}, "rename is [('a', 'b')]: expected a mapping", id="pairs"),
        pytest.param({"rename": {"kernel": 3}}, "rename is {'kernel': 3}: expected a mapping", id="number"),
        pytest.param({"rename": 3}, "rename is 3: expected a mapping of names", id="rename"),
        pytest.param({"seed": "a"}, "seed is 'a': expected a whole number of at least 0", id="seed"),
        pytest.param({"seed": -1}, "seed is -1: expected a whole number", id="seed-negative"),
        pytest.param({"seed": True}, "seed is True: expected a whole number", id="seed-bool"),
        pytest.param({"repeats": "8"}, "repeats is '8': expected a whole number of at least 2", id="repeats"),
        pytest.param(
            {"args": {"w": W}}, "args is a dict: expected a tuple of the functions'", id="args-dict"
        ),
        pytest.param({"args": W}, "args is an array of shape (5,): expected a tuple", id="args-array"),
        pytest.param(
            {"args": iter((W, X))}, "args is a tuple_iterator: expected a tuple", id="args-iterator"
        ),
        pytest.param({"args": 3}, "args is a int: expected a tuple", id="args-number"),
        pytest.param({"argnums": 1.0}, "argnums 1.0: expected the number of an argument", id="argnums"),
        pytest.param({"dtype": "tf32"}, "no format of arrays: switch it on in the function", id="tf32"),
        pytest.param({"dtype": 32}, "dtype is 32: expected a name, one of float16", id="dtype-number"),
        pytest.param({"dtype": "float31"}, "unknown dtype 'float31': did you mean float", id="dtype-typo"),
    ],
)
def test_refused(options: Any, says: str) -> None:
    with pytest.raises(crossgrad.InvalidInput) as caught:
        compared(**options)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(
            lambda: crossgrad.loss(simple, "numpy"), "numpy differentiates nothing", id="numpy-loss"
        ),
        pytest.param(lambda: crossgrad.gradient(simple, "tensorflow"), "unknown framework", id="framework"),
        pytest.param(lambda: crossgrad.gradient(3, "numpy"), "3 is no function", id="no-function"),
        pytest.param(
            lambda: crossgrad.gradient(simple, "numpy", device="cuda"), "numpy runs on cpu", id="device"
        ),
        pytest.param(lambda: crossgrad.loss(simple, "torch", args=3), "args is a int", id="args"),
        pytest.param(
            lambda: crossgrad.compare_gradients(simple, args=()), "does not say what it is", id="bare"
        ),
        pytest.param(
            lambda: crossgrad.compare_gradients(crossgrad.gradient(simple, "numpy"), args=()),
            "needs two or more",
            id="one",
        ),
        pytest.param(
            lambda: crossgrad.compare_gradients(*[crossgrad.gradient(simple, "numpy")] * 2, args=()),
            "two functions are called 'numpy:simple'",
            id="names",
        ),
    ],
)
def test_wrappers_refuse(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(crossgrad.InvalidInput) as caught:
        make()
    assert says in str(caught.value)


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_a_device_that_is_not_there_is_said_before_anything_runs(framework: str) -> None:
    backend = load_or_skip(framework)
    if "cuda:7" in backend.devices():
        pytest.skip("there are eight")
    with pytest.raises(crossgrad.BackendUnavailable, match=rf"^{framework} sees no .*; it runs on cpu"):
        crossgrad.loss(lambda x: x.sum(), framework, device="cuda:7")

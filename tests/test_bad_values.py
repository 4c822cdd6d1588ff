"""Bad values from Python: named, field by field, with the way out."""

from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.networks.dtypes import find_dtype
from crossgrad.networks.spec import LARGEST_COUNT

from .conftest import table


def good_params() -> list[tuple[Any, Any]]:
    """Parameters of 2-3-1."""
    return [(np.ones((3, 2)), np.ones(3)), (np.ones((1, 3)), np.ones(1))]


def good_batch() -> tuple[Any, Any]:
    return np.ones((4, 2)), np.ones((4, 1))


def checked(dtype: str = "float32", **given: Any) -> crossgrad.Report:
    options = {"params": good_params(), "batch": good_batch(), "backends": ["numpy"], "dtypes": [dtype]}
    return crossgrad.check("2-3-1", **(options | given))


def test_good_values_are_taken() -> None:
    assert checked().ok


@pytest.mark.parametrize("number", [np.int64, np.uint8, np.array], ids=["int64", "uint8", "array"])
def test_whole_numbers_of_numpy_are_taken(number: Any) -> None:
    """Also where their product would overflow."""
    network = crossgrad.Network(number(200), (crossgrad.Dense(number(2)),))
    assert (str(network), network.parameter_count) == ("200-2", 402)
    options = {"backends": ["numpy"], "dtypes": ["float32"]}
    report = crossgrad.check(network, batch_size=number(200), seed=number(3), **options)
    assert report.ok
    assert report.to_json()
    assert [(case.batch_size, case.seed) for case in report.cases] == [(200, 3)]


@pytest.mark.parametrize("library", ["numpy", "torch", "jax.numpy", "ml_dtypes"])
def test_dtypes_of_libraries_are_taken(library: str) -> None:
    name = "bfloat16" if library == "ml_dtypes" else "float32"
    dtype = getattr(pytest.importorskip(library), name)
    assert [case.dtype for case in checked(dtypes=[dtype]).cases] == [name]
    assert [case.dtype for case in checked(dtypes=dtype).cases] == [name]
    assert find_dtype(dtype) is find_dtype(np.dtype(name) if library == "numpy" else name)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize(
    ("field", "index"),
    [("W.1", (2, 1)), ("b.1", (2,)), ("W.2", (0, 2)), ("b.2", (0,)), ("x", (3, 1)), ("y", (3, 0))],
)
def test_value_that_is_not_finite_is_named(field: str, index: tuple[int, ...], value: float) -> None:
    params, batch = good_params(), good_batch()
    arrays = {"x": batch[0], "y": batch[1]}
    arrays |= {
        f"{kind}.{n}": array
        for n, pair in enumerate(params, 1)
        for kind, array in zip("Wb", pair, strict=True)
    }
    arrays[field][index] = value
    with pytest.raises(crossgrad.InvalidInput) as caught:
        checked(params=params, batch=batch)
    place = ", ".join(map(str, index))
    assert f"{field}: expected finite numbers, got {value} at [{place}]" in str(caught.value)


def test_a_note_may_stand_alone() -> None:
    assert "abc" in checked(notes="abc").notes


@table(
    {
        "network": (lambda: crossgrad.check([3]), "network is 3: expected a name, one of article,"),
        "saved": (lambda: crossgrad.save_parameters("p.safetensors", 3), "params is a int: expected a list"),
        "network-to-load": (lambda: crossgrad.load_parameters("p.safetensors", 3), "network is 3: expected"),
        "limit": (lambda: crossgrad.Limits(running="3"), "timeout '3': expected a number of seconds"),
        "memory-in-gib": (
            lambda: crossgrad.Limits(memory=4),
            "memory limit 4: expected a whole number of bytes",
        ),
        "memory": (lambda: crossgrad.Limits(memory=1.5), "memory limit 1.5: expected a whole number"),
        "device": (lambda: crossgrad.loss(len, "torch", device=0), "device is 0: expected cpu, cuda"),
    }
)
def test_other_types_are_refused(given: Any, said: tuple[str, ...]) -> None:
    with pytest.raises(crossgrad.InvalidInput) as caught:
        given()
    assert said[0] in str(caught.value)


def test_parameters_that_do_not_fit_are_listed_field_by_field() -> None:
    with pytest.raises(crossgrad.InvalidInput) as caught:
        checked(params=[(np.ones((2, 3)), np.ones((3, 1))), (np.ones((1, 3)), None)])
    assert str(caught.value).splitlines() == [
        "the parameters do not fit network 2-3-1:",
        "  W.1: expected (3, 2), got (2, 3) (looks transposed: W is stored (outputs, inputs))",
        "  b.1: expected (3,), got (3, 1)",
        "  b.2: expected (1,), got none",
    ]


def test_bias_of_a_layer_without_bias_is_listed() -> None:
    network = crossgrad.Network(2, (crossgrad.Dense(3, bias=False),))
    with pytest.raises(crossgrad.InvalidInput, match=r"b\.1: expected none, got \(3,\)"):
        crossgrad.check(network, params=[(np.ones((3, 2)), np.ones(3))], backends=["numpy"])


@table(
    {
        "too-few-layers": (good_params()[:1], "params has 1 layers, but network 2-3-1 has 2"),
        "no-list": (5, "params is a int: expected a list of pairs (W, b)"),
        "mapping": ({"W.1": 0}, "params is a dict: expected a list of pairs (W, b)"),
        "no-pair": ([1, 2], "params[0] is a int: expected a pair (W, b)"),
        "triple": ([(1, 2, 3)], "params[0] is a tuple: expected a pair (W, b)"),
        "ragged": ([([[1, 2], [3]], [0])], "W.1 cannot be read as an array"),
        "words": ([([["a"]], [0])], "W.1 has dtype <U1: expected real numbers"),
        "complex": ([(np.ones((3, 2)), [1j])], "b.1 has dtype complex128: expected real numbers"),
        "objects": ([(object(), [0])], "W.1 has dtype object: expected real numbers"),
    }
)
def test_params_of_another_kind_are_refused(given: Any, said: tuple[str, ...]) -> None:
    with pytest.raises(crossgrad.InvalidInput) as caught:
        checked(params=given)
    assert said[0] in str(caught.value)


@table(
    {
        "no-pair": ({"batch": 5}, "batch is a int: expected a pair (x, y)"),
        "triple": ({"batch": (1, 2, 3)}, "batch is a tuple: expected a pair (x, y)"),
        "scalar": ({"batch": (1.0, 1.0)}, "the batch is empty"),
        "empty": ({"batch": (np.ones((0, 2)), np.ones((0, 1)))}, "expected at least one sample"),
        "narrow-x": ({"batch": (np.ones((4, 1)), np.ones((4, 1)))}, "x: expected (4, 2), got (4, 1)"),
        "flat-y": ({"batch": (np.ones((4, 2)), np.ones(4))}, "y: expected (4, 1), got (4,)"),
        "fewer-y": ({"batch": (np.ones((4, 2)), np.ones((3, 1)))}, "y: expected (4, 1), got (3, 1)"),
        "other-size": ({"batch_size": 3}, "batch size 3: the batch given has x of shape (4, 2)"),
        "scalar-of-a-size": ({"batch": (1.0, 1.0), "batch_size": 3}, "x of shape ()"),
        "size-as-text": ({"batch_size": "4"}, "the batch size is '4': expected a whole number"),
        "size-as-truth": ({"batch_size": True}, "the batch size is True: expected a whole number"),
        "rate-as-word": ({"learning_rate": "fast"}, "learning rate 'fast': expected a finite number"),
        "rate-as-text": ({"learning_rate": "0.1"}, "learning rate '0.1': expected a finite number"),
        "rate-as-truth": ({"learning_rate": True}, "learning rate True: expected a finite number"),
        "rate-as-list": ({"learning_rate": [0.1]}, "learning rate [0.1]: expected a finite number"),
        "loss-as-number": ({"loss": 3}, "loss is 3: expected a name, one of mse,"),
        "seed-as-fraction": ({"seed": 1.5}, "seed is 1.5: expected a whole number"),
        "seed-as-truth": ({"seed": np.True_}, "seed is np.True_: expected a whole number"),
        "dtype-as-number": ({"dtypes": [32]}, "dtype is 32: expected a name, one of float16"),
        "dtype-of-integers": ({"dtypes": [np.int32]}, "unknown dtype 'int32': did you mean tf32"),
        "no-dtype": ({"dtypes": []}, "name at least one network and one dtype"),
        "no-backend": ({"backends": []}, "no backend given"),
        "loss-as-list": ({"loss": ["mse"]}, "loss is ['mse']: expected a name"),
        "oracle": ({"oracle": None}, "oracle is None: expected a name, one of auto"),
        "backend": ({"backends": [None]}, "backends has None in it: expected some text"),
        "device": ({"devices": [0]}, "devices has 0 in it: expected some text"),
        "mnist": ({"mnist": 3, "batch": None}, "mnist is 3: expected the path of a folder"),
        "notes": ({"notes": 3}, "notes is 3: expected a list"),
        "note": ({"notes": ["a", 3]}, "notes has 3 in it: expected some text"),
        "progress": ({"progress": True}, "progress is True: expected a function"),
        "limits": ({"limits": 3, "isolate": True}, "limits is 3: expected crossgrad.Limits"),
        "limits-of-no-process": (
            {"limits": crossgrad.Limits(running=3)},
            "processes of their own: isolate=True",
        ),
        "framework-of-nothing": ({"candidate_backend": "torch"}, "'torch' goes with candidates"),
        "candidate": ({"candidates": {"mine": 3}}, "candidate 'mine' is a int: expected a function"),
        "candidate-path": (
            {"candidates": {"mine": "mine.py"}},
            "'mine' is a str: expected a function, or a file",
        ),
        "candidate-name": ({"candidates": {"numpy": len}}, "candidate 'numpy': an engine has this name"),
    }
)
def test_argument_is_refused(given: dict[str, Any], said: tuple[str, ...]) -> None:
    with pytest.raises(crossgrad.InvalidInput) as caught:
        checked(**given)
    assert said[0] in str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "value", "largest"),
    [("float16", 65520, "65504"), ("bfloat16", 3.4e38, "3.38953e+38"), ("float32", 3.5e38, "3.40282e+38")],
)
def test_parameter_that_overflows_the_dtype_is_named(dtype: str, value: float, largest: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    params = good_params()
    params[1][0][0, 1] = -value
    with pytest.raises(crossgrad.InvalidInput) as caught:
        checked(dtype, params=params)
    assert str(caught.value).splitlines() == [
        f"too large for {dtype}, whose largest number is {largest}:",
        "  W.2: overflows to infinity",
    ]


@pytest.mark.parametrize("loss", ["mse", "mse-sum", "half-mse"])
def test_targets_that_one_is_nothing_to(loss: str) -> None:
    """1e20 and 1 more are one number of float64: the loss's bend between them is still the loss's."""
    x, y = good_batch()
    assert checked(batch=(x, np.full_like(y, 1e20)), loss=loss).verdict == "nonfinite-agree"


def test_largest_number_of_float16_is_taken() -> None:
    params = good_params()
    params[1][0][0, 1] = 65519  # rounds to 65504
    assert checked("float16", params=params).verdict != "failed"


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ((), "at least one layer"),
        (3, "layers is 3: expected a list of Dense"),
        (crossgrad.Dense(3), "expected a list of Dense"),
        ((3,), "a layer is 3: expected Dense"),
    ],
    ids=["none", "number", "single", "list-of-numbers"],
)
def test_layers_are_refused(layers: Any, said: str) -> None:
    with pytest.raises(crossgrad.InvalidInput, match=said):
        crossgrad.Network(2, layers)


@pytest.mark.parametrize("units", [0, -1, 2.0, "3", True, None, LARGEST_COUNT + 1], ids=repr)
def test_units_are_refused(units: Any) -> None:
    with pytest.raises(crossgrad.InvalidInput, match=rf"\(units\) is {units!r}: expected"):
        crossgrad.Dense(units)


def test_activation_and_bias_are_refused() -> None:
    with pytest.raises(crossgrad.InvalidInput, match="unknown activation 'sigmiod': did you mean sigmoid"):
        crossgrad.Dense(3, "sigmiod")
    with pytest.raises(crossgrad.InvalidInput, match="bias is 1: expected true or false"):
        crossgrad.Dense(3, bias=1)  # type: ignore[arg-type]

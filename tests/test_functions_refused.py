"""What gradient functions return, or are given, that cannot be compared: named, with the way out."""

from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.functions.arguments import read_arguments
from crossgrad.functions.ways_out import way_out

from .test_functions import arguments, right


def simple(w: Any, x: Any) -> Any:
    return (w * x).sum(), x * 1


def refused(function: Any, **options: Any) -> str:
    args = options.pop("args", (np.ones(3, np.float32), np.arange(3, dtype=np.float32)))
    partner = crossgrad.gradient(simple, "numpy", "simple")
    with pytest.raises((crossgrad.InvalidInput, crossgrad.FunctionFailed)) as caught:
        crossgrad.compare_gradients(
            crossgrad.gradient(function, "numpy", "mine"), partner, args=args, **options
        )
    return str(caught.value)


def test_products_of_bfloat16_in_numpy_are_named() -> None:
    pytest.importorskip("torch")
    with pytest.raises(crossgrad.InvalidInput, match=r"NumPy's products \(@, dot\) of bfloat16 are float32"):
        crossgrad.compare_gradients(right("numpy"), right("torch"), args=arguments(dtype="bfloat16"))


@pytest.mark.parametrize(
    ("factor", "says"),
    [(0.1, "as in x.dtype.type(0.1) * x"), (np.ones(3), "a constant of another dtype on the way?")],
    ids=["float", "float64"],
)
def test_why_a_gradient_is_no_bfloat16_is_named(factor: Any, says: str) -> None:
    pytest.importorskip("ml_dtypes")
    args = np.ones(3), np.arange(3.0)
    assert says in refused(lambda w, x: (0.0, factor * x), args=args, dtype="bfloat16")


@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_writing_into_a_leaf_is_named(framework: str) -> None:
    pytest.importorskip(framework)

    def writing_into_leaf(p: Any, x: Any) -> Any:
        x["data"] += 1
        return (p["w"] * x["data"]).sum(), {"w": x["data"]}

    with pytest.raises(crossgrad.InvalidInput, match=r"it writes into args\[1\]/data: c"):
        crossgrad.compare_gradients(
            *(crossgrad.gradient(writing_into_leaf, framework, name) for name in ("one", "other")),
            args=({"w": np.ones(3)}, {"data": np.ones(3)}),
        )


STATE = {"calls": 0}
RNG = np.random.default_rng(0)


def counting(w: Any, x: Any) -> Any:
    STATE["calls"] += 1
    return (w * x).sum(), x * STATE["calls"]


def counting_once(w: Any, x: Any) -> Any:
    STATE["calls"] = min(2, STATE["calls"] + 1)
    return (w * x).sum(), x * STATE["calls"]


def growing(w: Any, x: Any) -> Any:
    STATE["calls"] += 1
    return (w * x).sum(), x if STATE["calls"] == 1 else np.ones(4, "f4")


def writing(w: Any, x: Any) -> Any:
    w += 1
    return simple(w, x)


def raising(w: Any, x: Any) -> Any:
    raise KeyError("kernel")


@pytest.mark.parametrize(
    ("function", "says"),
    [
        pytest.param(lambda w, x: None, "gives no gradient for args[0]", id="none"),
        pytest.param(lambda w, x: (0.0, None), "gives no gradient for args[0]", id="none-beside-loss"),
        pytest.param(lambda w, x: (0.0, "much"), "gradient at args[0] is 'much', a str", id="string"),
        pytest.param(
            lambda w, x: (0.0, np.ones(4, "f4")), "args[0] has shape (4,), expected (3,)", id="shape"
        ),
        pytest.param(lambda w, x: (0.0, np.ones(3, "i8")), "args[0] has dtype int64", id="integers"),
        pytest.param(lambda w, x: (0.0, np.ones(3)), "args[0] is float64, the argument float32", id="dtype"),
        pytest.param(
            lambda w, x: (0.0, {"w": x}), "mine has w (3,) where the others have args[0] (3,)", id="structure"
        ),
        pytest.param(
            lambda w, x: (np.ones(3), x),
            "mine has 0 (3,) and 1 (3,) where the others have",
            id="loss-no-scalar",
        ),
        pytest.param(lambda w, x: (3j * w[0], x), "its loss is complex64: expected", id="loss-complex"),
        pytest.param(lambda w, x: np.float32(3), "it returned one number, the loss alone? return", id="loss"),
        pytest.param(lambda w, x: [np.float32(3), x], "a list, [loss, gradients], which could be", id="list"),
        pytest.param(
            lambda w, x: (x, np.float32(3)), "it returned (gradients, loss), the other", id="swapped"
        ),
        pytest.param(lambda w, x: [x, 3.0], "it returned (gradients, loss), the other", id="swapped-list"),
        pytest.param(lambda w, x: (3.0, x, x), "it returned 3 things; if the first is the loss", id="three"),
        pytest.param(lambda w, x: (3.0, (x,)), "a tuple of one, as torch.autograd.grad gives it", id="one"),
        pytest.param(lambda w, x: (3.0, (x, w)), "argnums asks for one: argnums=(0, 1)?", id="both"),
        pytest.param(lambda w, x: (None, x), "the first of what it returned is None", id="no-loss"),
        pytest.param(lambda w, x: (3.0, [1.0, 2.0, 3.0]), "args[0] is a list of numbers", id="numbers"),
        pytest.param(lambda w, x: (3.0, x[:, None]), "in the argument's shape, .reshape(3,)", id="column"),
        pytest.param(
            counting,
            "two runs on the same numbers differ, first at args[0][1]: 1, then 11",
            id="hidden-state",
        ),
        pytest.param(
            counting_once,
            "two runs on the same numbers differ, first at args[0][1]: 1, then 2",
            id="first-call-differs",
        ),
        pytest.param(growing, "at args[0] depends on the numbers: first (3,), then (4,)", id="growing"),
        pytest.param(lambda w, x: (0.0, RNG.random(3).astype("f4")), "seed its randomness", id="random"),
        pytest.param(writing, "mine: it writes into args[0]: copy first", id="writes"),
        pytest.param(raising, "mine raised KeyError: 'kernel'", id="raises"),
    ],
)
def test_what_functions_do_wrong_is_named(function: Any, says: str) -> None:
    STATE["calls"] = 0
    assert says in refused(function)


def test_a_list_in_a_tree_is_told_from_a_tree() -> None:
    args = {"w": np.ones((2, 1)), "b": np.ones(2)}, np.ones(2)
    rows = {"w": [[1.0], [2.0]], "b": np.ones(2)}
    assert "its gradient at w is a list of numbers: return an array" in refused(lambda p, x: rows, args=args)
    halves = {"w": [np.ones(2), np.ones(2)], "b": np.ones(2)}
    assert "list of numbers" not in refused(lambda p, x: halves, args=args)


@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda loss, x: (loss, {"x": x}),
            "a tuple of 2, (loss, aux) as for has_aux? Return the loss alone, a scalar; (loss, gradients) "
            "are for crossgrad.gradient",
        ),
        (lambda loss, x: [loss, x, x], "a list of 3: return the loss alone, a scalar"),
        (lambda loss, x: {"loss": loss, "x": x}, "a dict of 'loss' and 'x': return the loss alone, a scalar"),
    ],
    ids=["aux", "list", "dict"],
)
def test_what_a_loss_returns_beside_itself_is_not_printed(make: Any, says: str, framework: str) -> None:
    pytest.importorskip(framework)
    one = crossgrad.loss(lambda w, x: make((w * x).sum(), x), framework, "one")
    with pytest.raises(crossgrad.InvalidInput) as caught:
        crossgrad.compare_gradients(one, crossgrad.gradient(simple, "numpy"), args=(np.ones(3), np.ones(3)))
    assert str(caught.value) == f"one: it returned {says}"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"args": ({"n": np.arange(3)},)}, "n has dtype int64: only float16", id="integer-leaf"),
        pytest.param({"args": (["relu"],)}, "args[0]/0 is 'relu', of type str: expected", id="string-leaf"),
        pytest.param({"args": ([], 1)}, "nothing to differentiate by", id="no-leaf"),
        pytest.param({"args": (np.ones((0, 3)), 1)}, "by: args[0] (0, 3) has no elements", id="no-element"),
        pytest.param({"argnums": 2}, "argnums 2: there are 2 arguments, numbered from 0", id="argnum"),
        pytest.param({"argnums": "w"}, "argnums 'w'", id="argnum-name"),
        pytest.param({"repeats": 1}, "repeats is 1", id="repeats"),
        pytest.param({"rename": "all"}, "rename is 'all'", id="rename"),
        pytest.param({"dtype": "float31"}, "unknown dtype 'float31'", id="dtype"),
    ],
)
def test_arguments_that_cannot_be_used(options: Any, says: str) -> None:
    assert says in refused(simple, **options)


def test_what_a_function_returns_may_not_depend_on_the_numbers() -> None:
    """float64 is where this one leaves its loss out, and so would be compared on less than was promised."""

    def moody(w: Any, x: Any) -> Any:
        loss, gradients = simple(w, x)
        return gradients if w.dtype == np.float64 else (loss, gradients)

    partner = crossgrad.gradient(simple, "numpy", "simple")
    args = np.ones(3, np.float32), np.arange(3, dtype=np.float32)
    report = crossgrad.compare_gradients(crossgrad.gradient(moody, "numpy", "moody"), partner, args=args)
    assert "no float64 reference: moody: what it returns depends on the numbers" in str(report)
    assert "first gradients of args[0] and a loss, then gradients of args[0]" in str(report)


@pytest.mark.parametrize("dtype", ["complex64", "bfloat16"])
def test_what_has_nan_is_not_written_into(dtype: str) -> None:
    """An argument that is not differentiated by, missing values in data say: NaN is not equal to itself."""
    pytest.importorskip("ml_dtypes")
    data = np.array([1, np.nan]).astype(dtype)
    pair = [crossgrad.gradient(lambda w, x: ((w**2).sum(), 2 * w), "numpy", name) for name in "ab"]
    report = crossgrad.compare_gradients(*pair, args=(np.ones(3, "f4"), data))
    assert report.verdict == "agree", str(report)


def test_buffers_of_a_module_are_named_and_may_be_passed() -> None:
    """They stay in float32 when the parameters are float64, and PyTorch refuses both together."""
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).eval()
    params, buffers = dict(module.named_parameters()), dict(module.named_buffers())

    def mean_square(params: Any, x: Any, *buffers: Any) -> Any:
        return torch.func.functional_call(module, (params, *buffers), (x,)).square().mean()

    pair = [crossgrad.loss(mean_square, "torch", name) for name in ("one", "other")]
    args = params, np.random.default_rng(0).normal(size=(6, 3)).astype("f4")
    note, _ = crossgrad.compare_gradients(*pair, args=args).notes
    assert "kept in the function? Convert them, by .to(x.dtype); pass a module's buffers" in note
    assert crossgrad.compare_gradients(*pair, args=(*args, buffers)).notes == ()
    with pytest.raises(crossgrad.InvalidInput, match=r"named_buffers\(\)\) as another argument"):
        crossgrad.compare_gradients(*pair, args=(module, args[1]))


@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_a_buffer_that_is_written_again_is_found(framework: str) -> None:
    """What a function returned is kept as it was, and not as the next call leaves it."""
    torch = pytest.importorskip("torch")
    buffers: dict[Any, Any] = {}

    def adding(w: Any, x: Any) -> Any:
        buffer = buffers.setdefault(
            w.dtype, np.zeros_like(w) if framework == "numpy" else torch.zeros_like(w)
        )
        buffer += 2 * x * (x @ w)
        return (x @ w) ** 2, buffer

    partner = crossgrad.gradient(lambda w, x: ((x @ w) ** 2, 2 * x * (x @ w)), "numpy", "right")
    with pytest.raises(crossgrad.InvalidInput, match="adding: two runs on the same numbers differ"):
        crossgrad.compare_gradients(
            crossgrad.gradient(adding, framework, "adding"), partner, args=(np.ones(3), np.arange(3.0))
        )


def squares(w: Any, x: Any, y: Any) -> Any:
    return ((x @ w) ** 2).mean()


def entropy(w: Any, x: Any, y: Any) -> Any:
    import torch

    return torch.nn.functional.cross_entropy(x @ w, y)


WAYS_OUT = {
    "two-dtypes": (squares, np.float64, np.int64, 'is float64: dtype="float32" converts'),
    "integers": (squares, np.int64, np.int64, "args[1] holds integers: convert it in the function"),
    "list": (squares, list, np.int64, "args[1] is a list of numbers: give an array"),
    "labels": (entropy, np.float32, np.int32, "PyTorch takes labels in int64: call y.long() in"),
}


@pytest.mark.parametrize(("loss", "data", "labels", "said"), WAYS_OUT.values(), ids=WAYS_OUT)
def test_what_helps_against_an_error_of_torch_is_told(loss: Any, data: Any, labels: Any, said: str) -> None:
    pytest.importorskip("torch")
    w, x = np.ones((3, 2), np.float32), np.arange(15).reshape(5, 3)
    given = x.tolist() if data is list else x.astype(data)
    ours = crossgrad.loss(loss, "torch", "one"), crossgrad.loss(loss, "torch", "other")
    with pytest.raises(crossgrad.FunctionFailed) as caught:
        crossgrad.compare_gradients(*ours, args=(w, given, np.zeros(5, labels)))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "message",
    [
        "one of the variables needed for gradient computation has been modified by an inplace operation: "
        "[torch.FloatTensor [3]] is at version 1. Hint: enable anomaly detection",
        "only Tensors of floating point dtype can require gradients",
    ],
)
def test_errors_that_name_a_dtype_in_passing_get_no_hint(message: str) -> None:
    read = read_arguments((np.ones(3, np.float32), np.arange(3)), 0)
    assert way_out(RuntimeError(message), "torch", read) == ""

"""Gradient functions of any framework against each other: agreement, planted faults, blame."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.networks.catalogue import build_case, find_entry

from .functions import hand_written, jax_loss, torch_loss
from .published import hold

FRAMEWORKS = ["numpy", "torch", "jax"]
DTYPES = ["float16", "bfloat16", "float32", "float64"]


def arguments(network: str = "8-6-4-3", dtype: str = "float32", **options: Any) -> tuple[Any, ...]:
    case = build_case(find_entry(network), dtype=dtype, **options)
    return [tuple(pair) for pair in case.parameters], case.batch.x, case.batch.y


def right(framework: str) -> Any:
    pytest.importorskip(framework)
    if framework == "numpy":
        return crossgrad.gradient(hand_written(), "numpy", "by hand")
    return crossgrad.loss(torch_loss if framework == "torch" else jax_loss, framework, framework)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("one", FRAMEWORKS)
@pytest.mark.parametrize("other", FRAMEWORKS)
def test_what_is_right_agrees(one: str, other: str, dtype: str) -> None:
    if one == other or (dtype == "bfloat16" and "numpy" in (one, other)):
        pytest.skip("a pair of two, and NumPy's products of bfloat16 are float32")
    report = crossgrad.compare_gradients(right(one), right(other), args=arguments(dtype=dtype))
    assert report.ok, str(report)
    assert not report.blames
    compared = {(c.quantity, c.function, c.against) for c in report.comparisons}
    assert len(compared) == len(report.comparisons) >= 2 * 7  # three layers' W and b, and the loss, both ways


FAULTS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "factor": lambda g: [(2 * W, 2 * b) for W, b in g],
    "sign": lambda g: [(-W, -b) for W, b in g],
    "zero": lambda g: [(g[0][0], 0 * g[0][1]), *g[1:]],
    "elements": lambda g: [(one_element_more(g[0][0]), g[0][1]), *g[1:]],
    "permutation": lambda g: [(g[0][0][::-1].copy(), g[0][1]), *g[1:]],
}


def one_element_more(W: Any) -> Any:
    W = W.copy()
    W[1, 2] *= 1.25
    return W


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("partner", ["torch", "jax"])
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found_blamed_and_named(fault: str, partner: str, dtype: str) -> None:
    if dtype == "bfloat16":
        pytest.skip("NumPy's products of bfloat16 are float32")
    wrong = crossgrad.gradient(hand_written(FAULTS[fault]), "numpy", "mine")
    report = crossgrad.compare_gradients(wrong, right(partner), args=arguments(dtype=dtype))
    assert report.verdict == "disagree"
    (blame,) = report.blames
    assert blame.function == "mine"
    assert blame.looks_like is not None
    assert blame.looks_like.cause == fault
    with pytest.raises(AssertionError, match="mine is wrong in"):
        report.raise_if_disagree()


def test_a_transposed_square_gradient() -> None:
    wrong = crossgrad.gradient(hand_written(lambda g: [(W.T, b) for W, b in g]), "numpy", "mine")
    (blame,) = crossgrad.compare_gradients(wrong, right("torch"), args=arguments("5-5-5")).blames
    assert blame.looks_like is not None
    assert blame.looks_like.cause == "transpose"


def test_another_loss_convention() -> None:
    """Both gradients are those of their own losses: nobody is called wrong, and the factor is told."""
    half = crossgrad.loss(lambda *args: torch_loss(*args) / 2, "torch", "half")
    report = crossgrad.compare_gradients(half, right("numpy"), args=arguments())
    assert report.verdict == "convention"
    assert not report.ok
    assert not report.blames
    assert "half is 1/2 times the other everywhere" in str(report)
    (blame,) = crossgrad.compare_gradients(half, right("numpy"), right("jax"), args=arguments()).blames
    assert blame.function == "half"
    assert blame.looks_like is not None
    assert blame.looks_like.cause == "convention"


@pytest.mark.parametrize("name", ["abs", "relu", "leaky_relu"])
def test_subgradients_at_a_kink_are_a_matter_of_convention(name: str) -> None:
    """Frameworks choose differently where the loss has a kink: neither is wrong."""
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    ours = {
        "abs": (torch.abs, jax.numpy.abs),
        "relu": (torch.relu, lambda x: jax.numpy.maximum(x, 0)),
        "leaky_relu": (torch.nn.functional.leaky_relu, jax.nn.leaky_relu),
    }[name]
    w = np.array([0.0, 1.5, -2.0], np.float32)
    of_torch = crossgrad.loss(lambda w: ours[0](w).sum(), "torch", "torch")
    of_jax = crossgrad.loss(lambda w: ours[1](w).sum(), "jax", "jax")
    report = crossgrad.compare_gradients(of_torch, of_jax, args=(w,))
    assert (report.verdict, report.blames) == ("convention", ())
    assert "the loss has a kink here" in str(report)
    wrong = crossgrad.loss(lambda w: (ours[0](w) + 3 * (w - w.detach())).sum(), "torch", "wrong")
    (blame,) = crossgrad.compare_gradients(wrong, of_jax, args=(w,)).blames
    assert blame.function == "wrong"


def test_losses_that_differ_a_little_are_no_convention() -> None:
    """The two gelus: nearly one times each other, and not averaged otherwise."""
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    w = np.linspace(-2, 2, 9, dtype=np.float32)
    report = crossgrad.compare_gradients(
        crossgrad.loss(lambda w: torch.nn.functional.gelu(w).sum(), "torch", "torch"),
        crossgrad.loss(lambda w: jax.nn.gelu(w).sum(), "jax", "jax"),
        args=(w,),
    )
    assert report.verdict == "disagree"
    assert "times the other" not in str(report)


def test_arithmetic_narrower_than_claimed() -> None:
    import torch

    def narrow(params: Any, x: Any, y: Any) -> Any:
        cast = [(W.to(torch.bfloat16).to(W.dtype), b) for W, b in params]
        return torch_loss(cast, x, y)

    report = crossgrad.compare_gradients(
        crossgrad.loss(narrow, "torch", "narrow"), right("numpy"), args=arguments()
    )
    assert report.verdict == "disagree"
    assert "units of bfloat16 throughout, as if computed in that somewhere" in str(report)


def test_without_a_float64_reference() -> None:
    """A function that computes in float32 whatever it is given is judged in float32, and that is said."""

    def fixed(params: Any, x: Any, y: Any) -> Any:
        loss, gradients = hand_written()([(W.astype("f4"), b.astype("f4")) for W, b in params], x, y)
        return loss, [(W.astype("f4"), b.astype("f4")) for W, b in gradients]

    for partner in (right("torch"), crossgrad.gradient(fixed, "numpy", "fixed too")):
        report = crossgrad.compare_gradients(
            crossgrad.gradient(fixed, "numpy", "fixed"), partner, args=arguments()
        )
        assert report.ok, str(report)
        assert "note: no float64 reference: fixed" in str(report)


def test_a_number_of_python_is_in_the_arrays_dtype() -> None:
    """As frameworks have it: a temperature of 0.3 makes nothing of float32 arrays float64."""
    torch = pytest.importorskip("torch")
    one = crossgrad.loss(lambda s, x: torch.sin(s * x).sum(), "torch", "one")
    other = crossgrad.loss(lambda s, x: torch.cos(s * x - torch.pi / 2).sum(), "torch", "other")
    x = np.random.default_rng(0).normal(size=(16, 12)).astype(np.float32)
    report = crossgrad.compare_gradients(one, other, args=(0.3, x))
    assert (report.verdict, report.dtype) == ("agree", "float32")
    assert crossgrad.compare_gradients(one, other, args=(0.3, x.astype(np.float64))).dtype == "float64"


def test_gradients_of_several_arguments() -> None:
    def of_both(params: Any, x: Any, y: Any) -> Any:
        loss, gradients = hand_written()(params, x, y)
        a = [x]
        for W, b in params:
            a.append(1 / (1 + np.exp(-(a[-1] @ W.T + b))))
        da = 2 * (a[-1] - y) / y.size
        for n in reversed(range(len(params))):
            da = (da * a[n + 1] * (1 - a[n + 1])) @ params[n][0]
        return loss, (gradients, da)

    ours = crossgrad.gradient(of_both, "numpy", "by hand")
    report = crossgrad.assert_gradients_agree(ours, right("torch"), args=arguments(), argnums=(0, 1))
    assert "args[1]" in {c.quantity for c in report.comparisons}


def test_a_port_with_another_structure() -> None:
    params, x, y = arguments()
    flax = {f"dense{n}": {"kernel": W.T.copy(), "bias": b} for n, (W, b) in enumerate(params)}

    def ported(params: Any, x: Any, y: Any) -> Any:
        return jax_loss([(layer["kernel"].T, layer["bias"]) for layer in params.values()], x, y)

    pytest.importorskip("jax")
    port = crossgrad.loss(ported, "jax", "port", args=(flax, x, y))
    with pytest.raises(
        crossgrad.InvalidInput, match=r"dense0/kernel \(8, 6\) looks like 0/0 \(6, 8\) transposed"
    ):
        crossgrad.compare_gradients(port, right("torch"), args=(params, x, y))
    crossgrad.assert_gradients_agree(port, right("torch"), args=(params, x, y), rename="auto")


def test_arguments_may_be_of_any_framework() -> None:
    torch = pytest.importorskip("torch")
    params, x, y = arguments()
    given = [(torch.tensor(W, requires_grad=True), torch.tensor(b)) for W, b in params]
    crossgrad.assert_gradients_agree(right("numpy"), right("torch"), args=(given, torch.tensor(x), y))


def test_the_report_is_plain_data() -> None:
    import json

    wrong = crossgrad.gradient(hand_written(FAULTS["sign"]), "numpy", "mine")
    report = crossgrad.compare_gradients(wrong, right("torch"), args=arguments())
    assert repr(report) == str(report)  # what a notebook shows
    document = json.loads(report.to_json())
    hold(document, "functions")
    assert document["blames"][0]["looks_like"]["cause"] == "sign"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_a_leaf_without_elements(shape: tuple[int, ...], dtype: str) -> None:
    pytest.importorskip("torch"), pytest.importorskip("jax")
    params = {"w": np.arange(6.0).reshape(2, 3), "empty": np.zeros(shape)}
    f = lambda p: (p["w"] ** 2).sum() + p["empty"].sum()  # noqa: E731
    wrong = lambda p: (f(p), {"w": 3 * p["w"], "empty": 0 * p["empty"]})  # noqa: E731
    ours = crossgrad.loss(f, "torch", "torch")
    for partner, verdict in [
        (crossgrad.loss(f, "jax", "jax"), "agree"),
        (crossgrad.gradient(wrong, "jax", "wrong"), "disagree"),
    ]:
        report = crossgrad.compare_gradients(ours, partner, args=(params,), dtype=dtype)
        assert report.verdict == verdict, str(report)
        assert {c.verdict for c in report.comparisons if c.quantity == "empty"} == {"agree"}


def test_gradients_are_recorded_though_the_caller_switched_that_off() -> None:
    torch = pytest.importorskip("torch")
    with torch.inference_mode():
        crossgrad.assert_gradients_agree(right("numpy"), right("torch"), args=arguments())


def test_three_functions_that_all_differ_are_no_convention() -> None:
    """Half of the loss is one; a third function with a loss of its own is not."""
    half = crossgrad.loss(lambda *args: torch_loss(*args) / 2, "torch", "half")
    other = crossgrad.loss(lambda *args: torch_loss(*args) ** 2 + args[0][0][0].sum(), "torch", "other")
    report = crossgrad.compare_gradients(right("torch"), half, other, args=arguments())
    assert (report.verdict, report.blames) == ("disagree", ())


def test_torch_functions_that_do_not_depend_on_their_arguments() -> None:
    pytest.importorskip("torch")
    args = ({"used": np.ones(3, np.float32), "unused": np.ones(2, np.float32)},)
    for f, says in [
        (lambda p: p["used"].sum(), "no gradient reaches unused"),
        (lambda p: p["used"].detach().sum(), "does not depend on what is differentiated by"),
        (lambda p: p["used"], "a tensor of shape (3,): expected a scalar loss"),
    ]:
        both = crossgrad.loss(f, "torch", "a"), crossgrad.loss(f, "torch", "b")
        with pytest.raises(crossgrad.InvalidInput) as caught:
            crossgrad.compare_gradients(*both, args=args)
        assert says in str(caught.value)


@pytest.mark.parametrize("factor", [1.0, 5.0])
def test_a_leaf_called_loss_is_not_taken_for_the_loss(factor: float) -> None:
    def step(p: Any, x: Any) -> Any:
        return (p["loss"] * x).sum(), {"loss": x}

    def other(p: Any, x: Any) -> Any:
        return factor * (p["loss"] * x).sum(), {"loss": x}

    x = np.array([1.0, -2.0, 0.5], np.float32)
    report = crossgrad.compare_gradients(
        *(crossgrad.gradient(f, "numpy", name=name) for f, name in ((step, "one"), (other, "other"))),
        args=({"loss": x}, x),
    )
    assert {c.quantity for c in report.comparisons} == {"loss", "args[0]/loss"}
    assert report.ok == (factor == 1.0)


def test_what_is_wrong_is_listed_before_what_decides_nothing() -> None:
    """Of many leaves that are infinite in both, and one that is wrong, that one is among the lines shown."""
    infinite = [f"k{n}" for n in range(12)]

    def gradient(factor: float) -> Any:
        def gradients(p: Any) -> Any:
            found = {
                name: np.where(p[name] > 0, np.inf, 0 * p[name]).astype(p[name].dtype) for name in infinite
            }
            return (p["w"] ** 2).sum(), found | {"w": factor * p["w"]}

        return crossgrad.gradient(gradients, "numpy", f"times {factor}")

    params = {name: np.ones(2, np.float32) for name in [*infinite, "w"]}
    report = crossgrad.compare_gradients(gradient(2), gradient(3), args=(params,))
    assert next(line for line in str(report).splitlines() if " against " in line).startswith("w: ")

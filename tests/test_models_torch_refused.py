"""PyTorch modules that no specification says: each refused by the name of its place."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest

import crossgrad

from .conftest import skip
from .ported import refusal

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ImportError:
    skip("torch", "torch is not installed")


def tied() -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 3), nn.Sigmoid(), nn.Linear(3, 3), nn.Sigmoid())
    module[2].weight = module[0].weight
    return module


def on_one_memory() -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid(), nn.Linear(2, 3), nn.Sigmoid())
    module[2].weight = nn.Parameter(module[0].weight.data.t())
    return module


def twice() -> nn.Module:
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.Sigmoid(), layer, nn.Sigmoid())


def hooked(register: str) -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
    getattr(module[0], register)(lambda *_: None)
    return module


def gradient_hooked() -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
    module[0].weight.register_hook(lambda gradient: 2 * gradient)
    return module


def parametrized() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), nn.Sigmoid())


def replaced_forward() -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
    module[0].forward = lambda x: x
    return module


class Subclass(nn.Linear):
    def forward(self, x: Any) -> Any:
        return 2 * super().forward(x)


def with_nan() -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
    nn.init.constant_(module[0].weight, float("nan"))
    return module


def mixed() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Sigmoid(), nn.Linear(2, 1).double(), nn.Sigmoid())


def layers(*modules: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*modules)


REFUSED: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "no-module": (lambda: [1], ["the model is a list: expected a torch.nn.Module"]),
    "nothing": (nn.Sequential, ["has no dense layer"]),
    "unknown": (
        lambda: nn.Sequential(
            OrderedDict(fc=nn.Sequential(nn.Linear(3, 2), nn.Sigmoid(), nn.Conv1d(1, 1, 1)))
        ),
        ["fc.2: Conv1d is no part of a specification", "sigmoid"],
    ),
    "dropout": (
        layers(nn.Linear(3, 2), nn.Sigmoid(), nn.Dropout()),
        ["2: Dropout computes one thing in training and another in evaluation"],
    ),
    "batch-norm": (
        layers(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Sigmoid()),
        ["1: BatchNorm1d computes one thing in training"],
    ),
    "other-activation": (layers(nn.Linear(3, 2), nn.Softmax(1)), ["1: Softmax is no part"]),
    "no-activation": (layers(nn.Linear(3, 2)), ["0: Linear has no activation behind it"]),
    "no-activation-between": (
        layers(nn.Linear(3, 2), nn.Linear(2, 1), nn.Sigmoid()),
        ["0: Linear has no activation behind it, but 1: Linear"],
    ),
    "activation-alone": (layers(nn.Sigmoid(), nn.Linear(3, 2)), ["0: Sigmoid has no dense layer"]),
    "two-activations": (
        layers(nn.Linear(3, 2), nn.Sigmoid(), nn.Sigmoid()),
        ["2: Sigmoid has no dense layer of its own before it"],
    ),
    "widths": (
        layers(nn.Linear(3, 2), nn.Sigmoid(), nn.Linear(3, 1), nn.Sigmoid()),
        ["W.2: expected (1, 2), got (1, 3)"],
    ),
    "tied": (tied, ["2: Linear shares a parameter with 0: Linear"]),
    "tied-by-memory": (on_one_memory, ["2: Linear shares a parameter with 0: Linear"]),
    "layer-twice": (twice, ["2: Linear shares a parameter with 0: Linear"]),
    "forward-hook": (lambda: hooked("register_forward_hook"), ["0: Linear has hooks"]),
    "forward-pre-hook": (lambda: hooked("register_forward_pre_hook"), ["0: Linear has hooks"]),
    "backward-hook": (lambda: hooked("register_full_backward_hook"), ["0: Linear has hooks"]),
    "gradient-hook": (gradient_hooked, ["0: Linear has a hook on its weight"]),
    "parametrized": (parametrized, ["0: ParametrizedLinear is no part"]),
    "forward-set": (replaced_forward, ["0: Linear has hooks, or a forward set on it"]),
    "subclass": (layers(Subclass(3, 2), nn.Sigmoid()), ["Subclass.forward: mul is no part"]),
    "meta": (layers(nn.Linear(3, 2, device="meta"), nn.Sigmoid()), ["0: Linear: weight has no numbers yet"]),
    "lazy": (layers(nn.LazyLinear(2), nn.Sigmoid()), ["0: LazyLinear: weight has no numbers yet"]),
    "complex": (
        layers(nn.Linear(3, 2, dtype=torch.complex64), nn.Sigmoid()),
        ["0: Linear: weight is of torch.complex64: expected dense numbers of float16"],
    ),
    "nan": (with_nan, ["W.1: expected finite numbers, got nan at [0, 0]"]),
    "mixed-dtypes": (mixed, ["mixes dtypes, float32 in 0: Linear, float64 in 2: Linear"]),
    "compiled": (
        lambda: torch.jit.trace(nn.Sequential(nn.Linear(3, 2), nn.Sigmoid()), torch.zeros(1, 3)),
        ["TopLevelTracedModule is no part"],
    ),
}


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*torch.jit.trace:FutureWarning")
def test_modules_that_no_specification_says(make: Callable[[], Any], said: list[str]) -> None:
    refusal(crossgrad.from_torch, make(), *said)


# What is refused in a forward


def forward(function: Callable[[Any, Any], Any]) -> nn.Module:
    """A module with layers a (3, 3) and b (3, 3), and this forward."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x: Any) -> Any:
            return function(self, x)

    return Own()


def no_grad(own: Any, x: Any) -> Any:
    with torch.no_grad():
        x = torch.sigmoid(own.a(x))
    return torch.sigmoid(own.b(x))


def autocast(own: Any, x: Any) -> Any:
    with torch.autocast("cpu", torch.bfloat16):
        return torch.sigmoid(own.a(x))


def writing(own: Any, x: Any) -> Any:
    for weight in own.a.parameters():
        weight.data.clamp_(-1e-3, 1e-3)  # what autograd does not count
    return torch.sigmoid(own.a(x))


def training(own: Any, x: Any) -> Any:
    x = torch.sigmoid(own.a(x))
    return functional.dropout(x) if own.training else x


def branching(own: Any, x: Any) -> Any:
    return torch.sigmoid(own.a(x) if x.sum() > 0 else own.b(x))


def raising(own: Any, x: Any) -> Any:
    raise RuntimeError("a secret\nof many lines")


FORWARDS: dict[str, tuple[Callable[[Any, Any], Any], list[str]]] = {
    "other-operation": (lambda own, x: torch.tanh(own.a(x)), ["Own.forward: tanh is no part"]),
    "scaled": (lambda own, x: torch.sigmoid(2 * own.a(x)), ["Own.forward: mul is no part"]),
    "detached": (lambda own, x: torch.sigmoid(own.a(x).detach()), ["Own.forward: detach is no part"]),
    "residual": (lambda own, x: torch.sigmoid(own.a(x)) + x, ["makes the way of the data branch"]),
    "skipping": (lambda own, x: torch.sigmoid(own.b(own.a(x).sigmoid() + x)), ["branch"]),
    "not-used": (lambda own, x: (own.a(x), torch.sigmoid(own.b(x)))[1], ["branch"]),
    "control-flow": (branching, ["Own: its forward cannot be followed (TraceError", "nn.Sequential"]),
    "raising": (raising, ["its forward cannot be followed (RuntimeError: a secret)"]),
    "pair": (lambda own, x: (torch.sigmoid(own.a(x)), 1), ["returns something else than its last value"]),
    "input-itself": (lambda own, x: x, ["has no dense layer"]),
    "layer-twice": (
        lambda own, x: own.a(own.a(x).sigmoid()).sigmoid(),
        ["a: Linear shares a parameter with a: Linear"],
    ),
    "turned-weight": (
        lambda own, x: functional.linear(x, own.a.weight.t()).sigmoid(),
        ["Own.forward: t is no step from x on"],
    ),
    "no-grad": (no_grad, ["Own computes something else than its layers in their order"]),
    "in-training": (training, ["Own.forward: dropout is no part"]),
    "autocast": (autocast, ["Own computes something else than its layers in their order"]),
    "writing": (writing, ["Own writes to its parameters when it is called"]),
    "inference": (
        lambda own, x: torch.inference_mode()(lambda: torch.sigmoid(own.a(x)))(),
        ["Own cannot be called on x of shape (3, 3), or differentiated there"],
    ),
}


@pytest.mark.parametrize(("function", "said"), FORWARDS.values(), ids=FORWARDS)
def test_forwards_that_no_specification_says(function: Callable[[Any, Any], Any], said: list[str]) -> None:
    refusal(crossgrad.from_torch, forward(function), *said)


def test_what_depends_on_training_is_found_in_evaluation_too() -> None:
    module = forward(training).eval()
    before = torch.get_rng_state()
    refusal(crossgrad.from_torch, module, "Own computes something else", "what depends on training")
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(part.training for part in module.modules())


def test_forward_of_two_arguments_is_refused() -> None:
    class Masked(nn.Sequential):
        def forward(self, x: Any, mask: Any = None) -> Any:
            return super().forward(x if mask is None else x * mask)

    module = Masked(nn.Linear(3, 2), nn.Sigmoid())
    refusal(crossgrad.from_torch, module, "Masked takes 2 arguments in its forward, and not x alone")


def test_refusals_name_the_place_in_a_nested_forward() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 2), nn.Sequential(nn.Sigmoid(), nn.Dropout(0.5)))

        def forward(self, x: Any) -> Any:
            return self.inner(x)

    refusal(crossgrad.from_torch, Outer(), "inner.1.1: Dropout computes one thing in training")

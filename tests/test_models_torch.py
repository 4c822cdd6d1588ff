"""PyTorch modules as specifications and back: the same function, the same bits."""

from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crossgrad
from crossgrad import InvalidInput, Network
from crossgrad.networks.rules import ACTIVATIONS

from .conftest import skip
from .ported import DTYPES, NETWORKS, SMALL, bits, parameters_of, require_agreement

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ImportError:
    skip("torch", "torch is not installed")

from crossgrad.models.torch_rules import RULES


class WithForward(nn.Module):
    """A module as most are written: layers in attributes, the activation as a function."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.fc = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(widths))

    def forward(self, x: Any) -> Any:
        for layer in self.fc:
            x = torch.sigmoid(layer(x))
        return x


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(2, 3))
        self.bias = nn.Parameter(torch.rand(2))

    def forward(self, x: Any) -> Any:
        return functional.linear(x, self.weight, bias=self.bias).sigmoid()


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = WithForward(3, 4)
        self.tail = nn.Sequential(nn.Linear(4, 2, bias=False), nn.Sigmoid())

    def forward(self, x: Any) -> Any:
        return self.tail(self.head(x))


MODULES: dict[str, Callable[[], nn.Module]] = {
    "sequential": lambda: nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2), nn.Sigmoid()),
    "nested": lambda: nn.Sequential(
        nn.Sequential(nn.Linear(3, 4, bias=False), nn.Identity()), nn.Sequential(nn.Sigmoid())
    ),
    "named": lambda: nn.Sequential(OrderedDict(fc=nn.Linear(3, 1), out=nn.Sigmoid())),
    "forward": lambda: WithForward(3, 4, 4, 2),
    "functional": Functional,
    "forward-in-forward": Nested,
}


def theirs(module: nn.Module) -> Callable[[Any, Any], Any]:
    """mse and its gradients by autograd, on the module itself."""

    def step(x: Any, y: Any) -> Any:
        parameters = list(module.parameters())
        loss = functional.mse_loss(module(torch.from_numpy(x)), torch.from_numpy(y))
        found = iter(torch.autograd.grad(loss, parameters))
        layers: list[list[Any]] = []
        for parameter, gradient in zip(parameters, found, strict=True):
            if parameter.ndim == 2:
                layers.append([gradient.numpy(), None])
            else:
                layers[-1][1] = gradient.numpy()
        return loss.item(), [tuple(layer) for layer in layers]

    return step


# What is read


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MODULES)
def test_autograd_on_the_module_agrees(name: str, dtype: str) -> None:
    module = MODULES[name]().to(getattr(torch, dtype))
    require_agreement(crossgrad.from_torch(module), theirs(module), dtype)


def test_what_is_read_is_a_network_and_its_parameters() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2, bias=False), nn.Sigmoid())
    model = crossgrad.from_torch(module)
    network, parameters = model
    assert (str(network), model.network) == ("3-4-2(no bias)", network)
    np.testing.assert_array_equal(parameters[0].W, module[0].weight.detach().numpy())
    np.testing.assert_array_equal(parameters[0].b, module[0].bias.detach().numpy())
    assert parameters[1].b is None


def test_parameters_are_a_copy_that_cannot_be_written() -> None:
    module = MODULES["sequential"]()
    model = crossgrad.from_torch(module)
    before = bits(model.parameters)
    with torch.no_grad():
        module[0].weight.add_(1)
    assert bits(model.parameters) == before
    with pytest.raises(ValueError, match="read-only"):
        model.parameters[0].W[0, 0] = 1


def test_reading_leaves_no_trace() -> None:
    """Neither in the random numbers nor in gradients, flags or memory of the module."""
    module = MODULES["forward"]()
    module.fc[0].eval()
    before = torch.get_rng_state()
    crossgrad.from_torch(module)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in module.parameters())
    assert (module.training, module.fc[0].training, module.fc[1].training) == (True, False, True)


def test_frozen_parameters_are_read() -> None:
    module = MODULES["sequential"]().requires_grad_(False)
    assert str(crossgrad.from_torch(module).network) == "3-4-2"
    module[2].weight.requires_grad_(True)
    assert str(crossgrad.from_torch(module).network) == "3-4-2"


def test_check_takes_what_was_read() -> None:
    model = crossgrad.from_torch(WithForward(3, 4, 2))
    report = crossgrad.check(
        model.network, params=model.parameters, dtypes=["float16", "float32", "float64"], backends=["numpy"]
    )
    assert report.ok


def test_every_activation_has_a_line() -> None:
    assert RULES.keys() == ACTIVATIONS.keys()


# Round trips


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=15)
@given(network=NETWORKS, seed=st.integers(0, 99))
def test_every_bit_comes_back(dtype: str, network: Network, seed: int) -> None:
    parameters = parameters_of(network, dtype, seed)
    module = crossgrad.to_torch(network, parameters)
    assert {parameter.dtype for parameter in module.parameters()} == {getattr(torch, dtype)}
    back = crossgrad.from_torch(module)
    assert back.network == network
    assert bits(back.parameters) == bits(parameters)


def test_a_module_made_is_the_network() -> None:
    module = crossgrad.to_torch(SMALL, parameters_of(SMALL, "float32"))
    assert repr(module).split() == (
        repr(
            nn.Sequential(
                *(nn.Linear(3, 4), nn.Sigmoid()),
                *(nn.Linear(4, 4, bias=False), nn.Sigmoid()),
                *(nn.Linear(4, 1), nn.Sigmoid()),
            )
        ).split()
    )
    assert all(p.requires_grad and p.is_leaf and p.is_contiguous() for p in module.parameters())


def test_making_draws_no_random_numbers_and_shares_no_memory() -> None:
    parameters = parameters_of(SMALL, "float32")
    before = torch.get_rng_state()
    module = crossgrad.to_torch(SMALL, parameters)
    assert torch.equal(torch.get_rng_state(), before)
    kept = bits(parameters)
    with torch.no_grad():
        module[0].weight.add_(1)
    assert bits(parameters) == kept
    assert module[1] is not module[3]


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16], ids=["name", "torch-dtype"])
def test_another_dtype_rounds_to_nearest(dtype: Any) -> None:
    module = crossgrad.to_torch(Network.from_widths("1-1"), [([[1 + 2**-8 + 2**-12]], [0.0])], dtype)
    assert module[0].weight.dtype == torch.bfloat16
    assert module[0].weight.item() == 1 + 2**-7


@pytest.mark.parametrize(
    ("parameters", "dtype", "said"),
    [
        ([([[1e6]], None)], "float16", "too large for float16, whose largest number is 65504"),
        ([([[1]], None)], None, "name the dtype to make of them"),
        ([([[1.0]], None)], "float8", "unknown dtype 'float8'"),
        ([([[1.0]], None)], "tf32", "unknown dtype 'tf32'"),
        ([([[1.0, 2.0]], None)], None, "W.1: expected (1, 1), got (1, 2)"),
        ([([[1.0]], [1.0])], None, "b.1: expected none, got (1,)"),
    ],
    ids=["overflow", "integers", "dtype-unknown", "tf32", "shape", "bias"],
)
def test_parameters_that_do_not_fit_are_refused(parameters: Any, dtype: Any, said: str) -> None:
    network = Network(1, (crossgrad.Dense(1, bias=False),))
    arrays = [(np.array(W), None if b is None else np.array(b)) for W, b in parameters]
    with pytest.raises(InvalidInput) as caught:
        crossgrad.to_torch(network, arrays, dtype)
    assert said in str(caught.value)


def test_mixed_dtypes_are_refused_unless_one_is_named() -> None:
    network = Network.from_widths("1-1")
    mixed = [(np.ones((1, 1), np.float32), np.ones(1))]
    with pytest.raises(InvalidInput, match=r"W\.1 of float32, b\.1 of float64: name the dtype"):
        crossgrad.to_torch(network, mixed)
    assert crossgrad.to_torch(network, mixed, "float32")[0].bias.dtype == torch.float32

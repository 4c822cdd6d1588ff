"""Peers that check one function against finite differences of itself, in float64.

The function is the case's right loss. Its backward pass hands out the gradients
that are to be judged, whatever the point: these checkers ask for it at the
case's point only. That the forward pass is right is the kindest setting: a
fault in a mutant's own forward pass would be differentiated faithfully, and
pass.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from crossgrad.networks.cases import Case

from .checker import GRADIENTS, Accepts, Checker, Quantities, gradient_names

GRADCHECK_LIMIT = 3000
"""Parameters: full mode takes two forward passes for each, and so does fast mode when it fails.

For its message a failing fast mode runs full mode: both are tried on one mutant in ten.
"""


class Gradcheck(Checker):
    name = "torch.autograd.gradcheck, full"
    package = "torch"
    rule = "central differences (eps 1e-6) for each parameter, |error| <= 1e-5 + 1e-3 |gradient|"
    sees = GRADIENTS
    names_engine = True
    dtypes = frozenset({"float64"})
    largest = GRADCHECK_LIMIT
    one_in = 10
    fast = False

    def prepare(self, case: Case, against: tuple[str, str]) -> Accepts:
        import torch

        loss, names = _torch_loss(case), gradient_names(case)
        parameters = [torch.tensor(p, dtype=torch.float64) for p in _parameters(case)]

        def accepts(got: Quantities) -> bool:
            gradients = [torch.tensor(got[name]) for name in names]

            class Judged(torch.autograd.Function):
                @staticmethod
                def forward(ctx: Any, *parameters: torch.Tensor) -> torch.Tensor:
                    return loss(parameters)

                @staticmethod
                def backward(ctx: Any, upstream: torch.Tensor) -> Any:
                    return tuple(upstream * gradient for gradient in gradients)

            return torch.autograd.gradcheck(
                Judged.apply,
                [parameter.clone().requires_grad_() for parameter in parameters],
                fast_mode=self.fast,
                raise_exception=False,
            )

        return accepts


class GradcheckFast(Gradcheck):
    name = "torch.autograd.gradcheck, fast"
    rule = "the same in one random direction a tensor"
    fast = True


class CheckGrads(Checker):
    name = "jax.test_util.check_grads"
    package = "jax"
    rule = "central differences (eps 1e-4) in one fixed random direction, |error| <= 1e-5 + 1e-5 |derivative|"
    sees = GRADIENTS
    names_engine = True
    dtypes = frozenset({"float64"})

    def prepare(self, case: Case, against: tuple[str, str]) -> Accepts:
        import jax
        from jax.test_util import check_grads

        names = gradient_names(case)
        parameters = tuple(np.asarray(p, np.float64) for p in _parameters(case))
        with jax.enable_x64(True):
            loss = jax.jit(_jax_loss(case)).lower(*parameters).compile()

        def accepts(got: Quantities) -> bool:
            gradients = [np.asarray(got[name], np.float64) for name in names]
            judged = jax.custom_vjp(lambda *parameters: loss(*parameters))
            judged.defvjp(
                lambda *parameters: (loss(*parameters), None),
                lambda _, upstream: tuple(np.asarray(upstream) * gradient for gradient in gradients),
            )
            with jax.enable_x64(True):
                try:
                    check_grads(judged, parameters, order=1, modes=["rev"])
                except AssertionError:
                    return False
            return True

        return accepts


def _parameters(case: Case) -> list[Any]:
    return [parameter for pair in case.parameters for parameter in pair if parameter is not None]


def _torch_loss(case: Case) -> Any:
    import torch
    from torch.nn.functional import linear

    from crossgrad.backends.torch.activations import ACTIVATIONS
    from crossgrad.backends.torch.losses import LOSSES

    x, y = (torch.tensor(array, dtype=torch.float64) for array in case.batch)

    def loss(parameters: Sequence[Any]) -> Any:
        a, rest = x, iter(parameters)
        for layer in case.network.layers:
            z = linear(a, next(rest), next(rest) if layer.bias else None)
            a = ACTIVATIONS[layer.activation](z)
        return LOSSES[case.loss](a, y)

    return loss


def _jax_loss(case: Case) -> Any:
    from crossgrad.backends.jax.activations import ACTIVATIONS
    from crossgrad.backends.jax.losses import LOSSES

    x, y = (np.asarray(array, np.float64) for array in case.batch)

    def loss(*parameters: Any) -> Any:
        a, rest = x, iter(parameters)
        for layer in case.network.layers:
            z = a @ next(rest).T
            a = ACTIVATIONS[layer.activation](z + next(rest) if layer.bias else z)
        return LOSSES[case.loss](a, y)

    return loss

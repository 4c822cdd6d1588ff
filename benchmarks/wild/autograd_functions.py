"""HIPS autograd: functions of ``autograd.numpy``, in the manner of its own examples."""

from collections.abc import Callable, Sequence
from typing import Any

import autograd
import autograd.numpy as np
import autograd.scipy as scipy
import torch
from autograd.scipy.signal import convolve
from autograd.scipy.special import logsumexp

import crossgrad

from .scenario import DTYPES, Scenario, checked, compared, data

SQUARE = data(4, 4) + 4 * np.eye(4)
TIES = np.array([-1.0, 0.0, 0.5, 0.0, 1.0, 2.0])


def scenario(
    model: str,
    loss: Callable[..., Any],
    by_hand: Callable[..., Any],
    *args: Any,
    differs: str = "",
    vanishes: str = "",
    dtypes: Sequence[str] = DTYPES,
) -> Scenario:
    """A scalar function by autograd and by hand, differentiated by the first argument."""
    theirs = crossgrad.gradient(autograd.value_and_grad(loss), "numpy", "autograd")
    ours = crossgrad.loss(by_hand, "torch", "by hand")
    return Scenario("autograd", model, compared(theirs, ours, args=args), differs, vanishes, dtypes)


def network_loss(params: Any, x: Any, y: Any) -> Any:
    for W, b in params:
        x = 1 / (1 + np.exp(-(np.dot(x, W.T) + b)))
    return np.mean((x - y) ** 2)


def mlp_scenario() -> Scenario:
    params = [(data(6, 8, seed=3), data(6, seed=4)), (data(3, 6, seed=5), data(3, seed=6))]
    batch = data(5, 8), (data(5, 3, seed=2) > 0).astype(float)
    gradients = autograd.value_and_grad(network_loss)
    return Scenario("autograd", "sigmoid MLP", checked("8-6-3", params, batch, gradients, "numpy"))


def mixture(params: Any, x: Any) -> Any:
    """Negative log likelihood of a mixture of Gaussians."""
    logits, means, scales = params
    weights = logits - logsumexp(logits)
    apart = (x[:, None, :] - means) / np.exp(scales)
    each = -0.5 * np.sum(apart**2, axis=2) - np.sum(scales, axis=1) + weights
    return -np.mean(logsumexp(each, axis=1))


def torch_mixture(params: Any, x: Any) -> Any:
    logits, means, scales = params
    apart = (x[:, None, :] - means) * torch.exp(-scales)
    each = -0.5 * (apart**2).sum(2) - scales.sum(1) + torch.log_softmax(logits, 0)
    return -torch.logsumexp(each, 1).mean()


def gaussian_process(params: Any, x: Any, y: Any) -> Any:
    """Negative log marginal likelihood, by Cholesky and solves."""
    apart = (x[:, None] - x[None, :]) / np.exp(params[0])
    covariance = np.exp(params[1] - 0.5 * apart**2) + np.exp(params[2]) * np.eye(len(x))
    L = np.linalg.cholesky(covariance)
    return np.sum(np.log(np.diag(L))) + 0.5 * np.dot(y, np.linalg.solve(covariance, y))


def torch_gaussian_process(params: Any, x: Any, y: Any) -> Any:
    apart = (x[:, None] - x[None, :]) / torch.exp(params[0])
    noise = torch.exp(params[2]) * torch.eye(len(x), dtype=x.dtype)
    covariance = torch.exp(params[1] - 0.5 * apart**2) + noise
    return 0.5 * torch.logdet(covariance) + 0.5 * y @ torch.linalg.inv(covariance) @ y


def recurrent(params: Any, x: Any, y: Any) -> Any:
    W, U = params
    h = np.zeros((x.shape[1], U.shape[0]))
    for now in x:
        h = np.tanh(np.dot(now, W) + np.dot(h, U))
    return np.mean((h - y) ** 2)


def torch_recurrent(params: Any, x: Any, y: Any) -> Any:
    W, U = params
    h = torch.zeros(x.shape[1], U.shape[0], dtype=x.dtype)
    for now in x:
        h = torch.tanh(now @ W + h @ U)
    return ((h - y) ** 2).mean()


def spectrum(w: Any, x: Any) -> Any:
    """A circular convolution by the discrete Fourier transform."""
    return np.sum(np.real(np.fft.ifft(np.fft.fft(w) * np.fft.fft(x))) ** 2)


def circular(w: Any, x: Any) -> Any:
    shifted = torch.stack([torch.roll(x, n, -1) for n in range(x.shape[-1])], -2)
    return ((w[..., None, :] @ shifted) ** 2).sum()


def eigenvalues(a: Any) -> Any:
    values, vectors = np.linalg.eigh(a @ a.T)
    return np.sum(np.log(values)) + np.sum(vectors[:, 0] ** 4)


def torch_eigenvalues(a: Any) -> Any:
    values, vectors = torch.linalg.eigh(a @ a.T)
    return torch.log(values).sum() + (vectors[:, 0] ** 4).sum()


def scattered(function: Any) -> Any:
    """A function of each column, weighted."""
    return lambda w, c: (c * function(w)).sum()


def polynomial(w: Any, x: Any) -> Any:
    return np.sum(convolve(w, x) ** 2)


def torch_polynomial(w: Any, x: Any) -> Any:
    padded = torch.nn.functional.pad(x[None, None], (len(w) - 1, len(w) - 1))
    return (torch.nn.functional.conv1d(padded, w.flip(0)[None, None]) ** 2).sum()


WIDE = ("float64",)
"""For gradients that autograd returns in float64 though the argument is float32, which crossgrad refuses."""

MAXIMUM = (
    "autograd's maximum(x, 0) halves the gradient at ties, torch.relu has 0 there: both are subgradients"
)
MAX = (
    "autograd shares the gradient among equal largest elements, torch.max(dim) gives it to one; "
    "that is missed, as autograd looks for the largest after adding zeros to it, which is rounded at random"
)
STD = "autograd.numpy.std divides by n, torch.std by n - 1: unbiased=False"
NORM = "the gradient of the norm at 0 is 0/0 in autograd, which torch sets to 0, a subgradient"

SCENARIOS = (
    mlp_scenario(),
    scenario(
        "mixture of Gaussians: logsumexp",
        mixture,
        torch_mixture,
        (data(3), data(3, 2, seed=2), data(3, 2, seed=3) / 4),
        data(20, 2, seed=4),
    ),
    scenario(
        "Gaussian process: cholesky, solve",
        gaussian_process,
        torch_gaussian_process,
        np.array([0.1, 0.2, -1.0]),
        np.linspace(-2, 2, 8),
        data(8),
    ),
    scenario(
        "recurrent network",
        recurrent,
        torch_recurrent,
        (data(4, 5) / 2, data(5, 5, seed=2) / 2),
        data(6, 3, 4, seed=3),
        data(3, 5, seed=4),
    ),
    scenario("fft and ifft", spectrum, circular, data(12), data(12, seed=2)),
    scenario("scipy.signal.convolve", polynomial, torch_polynomial, data(5), data(9, seed=2)),
    scenario(
        "linalg.inv",
        lambda a: np.sum(np.linalg.inv(a) ** 3),
        lambda a: (torch.linalg.inv(a) ** 3).sum(),
        SQUARE,
    ),
    scenario("linalg.eigh", eigenvalues, torch_eigenvalues, data(4, 4), dtypes=WIDE),
    scenario(
        "scipy.special.gammaln",
        lambda w: np.sum(scipy.special.gammaln(np.exp(w))),
        lambda w: torch.lgamma(torch.exp(w)).sum(),
        data(9),
    ),
    scenario(
        "sort and einsum",
        lambda w, A: np.einsum("i,ij,j->", w, A, np.sort(w)),
        lambda w, A: w @ A @ torch.sort(w)[0],
        data(6),
        data(6, 6, seed=2),
    ),
    scenario(
        "maximum at ties",
        scattered(lambda w: np.maximum(w, 0)),
        scattered(torch.relu),
        TIES,
        data(6),
        differs=MAXIMUM,
        dtypes=WIDE,
    ),
    scenario(
        "max over ties",
        scattered(lambda w: np.max(w, axis=0)),
        scattered(lambda w: torch.max(w, dim=0)[0]),
        np.array([[1.0, 2.0], [1.0, 3.0]]),
        data(2),
        vanishes=MAX,
        dtypes=WIDE,
    ),
    scenario("std", scattered(np.std), scattered(torch.std), data(6), data(1), differs=STD, dtypes=WIDE),
    scenario(
        "norm at 0",
        lambda w, c: np.sum(np.linalg.norm(w * c)),
        lambda w, c: torch.linalg.norm(w * c),
        np.zeros(3),
        data(3),
        differs=NORM,
        dtypes=WIDE,
    ),
)

"""One loss, averaged differently in two frameworks: both gradients are right, and differ by a factor.

torch's mse_loss is the mean over all elements; a loss written for JAX sums over
the outputs and averages over the samples.

python examples/loss_averages.py
"""

import jax
import numpy as np
import torch

import crossgrad

SAMPLES, INPUTS, OUTPUTS = 32, 8, 10


def torch_loss(params, x, y):
    return torch.nn.functional.mse_loss(torch.tanh(x @ params["w"] + params["b"]), y)


def jax_loss(params, x, y):
    a = jax.numpy.tanh(x @ params["w"] + params["b"])
    return jax.numpy.mean(jax.numpy.sum((a - y) ** 2, axis=1))


def mended(params, x, y):
    return jax_loss(params, x, y) / OUTPUTS


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    params = {"w": rng.normal(size=(INPUTS, OUTPUTS)), "b": rng.normal(size=OUTPUTS)}
    args = params, rng.normal(size=(SAMPLES, INPUTS)), rng.normal(size=(SAMPLES, OUTPUTS))
    of_torch = crossgrad.loss(torch_loss, "torch", "torch")
    print(
        crossgrad.compare_gradients(
            crossgrad.loss(jax_loss, "jax", "jax"), of_torch, args=args, dtype="float32"
        )
    )
    print(
        crossgrad.compare_gradients(
            crossgrad.loss(mended, "jax", "jax"), of_torch, args=args, dtype="float32"
        )
    )

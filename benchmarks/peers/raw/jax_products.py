"""The matrix products of a step under jax.jit, into the memory of the last ones, which are given away.

On a CPU ``delta.T`` is prepared: XLA is slower to sum along its columns. Few samples
are multiplied from W's side, behind a barrier, as XLA would turn it round again.
"""

import jax
import jax.numpy as jnp
import numpy as np

from crossgrad.backends.jax.layout import gains_by_turning


def build(layers, x, y, device):
    if x.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    if device != "cpu":
        jax.config.update("jax_default_matmul_precision", "highest")
    weights, first = jax.device_put(([W for W, _ in layers], x), jax.devices(device)[0])
    draw = np.random.default_rng(0)

    def drawn(*shape):
        # Of both signs, as an engine's are: a GPU at the limit of its power multiplies constants faster.
        return jax.device_put(draw.uniform(-1, 1, shape).astype(first.dtype), jax.devices(device)[0])

    inputs = [first] + [drawn(len(x), len(W)) for W in weights[:-1]]
    deltas = [drawn(len(x), len(W)) for W in weights[1:]]
    by_rows = device == "cpu"
    lefts = [drawn(len(W), len(x)) if by_rows else drawn(len(x), len(W)) for W in weights]

    def products(outputs, inputs, weights, deltas, lefts):
        forward = [z_of(a, W, device) for a, W in zip(inputs, weights, strict=True)]
        gradients = [(left if by_rows else left.T) @ a for left, a in zip(lefts, inputs, strict=True)]
        return forward, gradients, [delta @ W for delta, W in zip(deltas, weights[1:], strict=True)]

    run = jax.jit(products, donate_argnums=0, keep_unused=True)
    operands = (inputs, weights, deltas, lefts)
    last = run(jax.tree.map(jnp.zeros_like, jax.eval_shape(products, None, *operands)), *operands)

    def step():
        nonlocal last
        last = run(last, *operands)

    return step, lambda: jax.block_until_ready(last)


def z_of(a, W, device):
    if device == "cpu" and gains_by_turning(len(a), *W.shape, W.dtype):
        return jax.lax.optimization_barrier(W @ a.T).T
    return a @ W.T

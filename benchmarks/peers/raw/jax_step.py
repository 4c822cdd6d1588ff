"""jax.value_and_grad under jax.jit; float64 as its users switch it on, for the whole process.

So is float32 on CUDA, where JAX would take tf32 in its place.
"""

import jax
import jax.numpy as jnp


def build(layers, x, y, device):
    if x.dtype == "float64":
        jax.config.update("jax_enable_x64", True)
    if device != "cpu":
        jax.config.update("jax_default_matmul_precision", "highest")
    arguments = jax.device_put((list(map(tuple, layers)), x, y), jax.devices(device)[0])
    last = None

    @jax.jit
    @jax.value_and_grad
    def loss_and_gradients(weights, inputs, targets):
        output = inputs
        for W, b in weights:
            output = jax.nn.sigmoid(output @ W.T + b)
        return jnp.mean(jnp.square(output - targets))

    def step():
        nonlocal last
        last = None
        last = loss_and_gradients(*arguments)
        return last

    return step, lambda: jax.block_until_ready(last)

"""A small convolutional network, in PyTorch and in JAX: kernels as (out, in, h, w) and as (h, w, in, out).

python examples/convolution.py
"""

import jax
import jax.numpy as jnp
import numpy as np
from torch.nn import functional

import crossgrad


def torch_loss(state, images, labels):
    """NCHW, as torch has it."""
    a = functional.relu(functional.conv2d(images, state["conv1.weight"], state["conv1.bias"], padding="same"))
    a = functional.max_pool2d(a, 2)
    a = functional.relu(functional.conv2d(a, state["conv2.weight"], state["conv2.bias"], padding="same"))
    a = a.mean(dim=(2, 3)) @ state["head.weight"].T + state["head.bias"]
    return functional.cross_entropy(a, labels)


def conv(a, layer):
    return (
        jax.lax.conv_general_dilated(
            a, layer["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        + layer["bias"]
    )


def jax_loss(params, images, labels):
    """NHWC, as JAX's libraries have it."""
    a = jax.nn.relu(conv(images, params["conv1"]))
    a = jax.lax.reduce_window(a, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    a = jax.nn.relu(conv(a, params["conv2"]))
    logits = a.mean(axis=(1, 2)) @ params["head"]["kernel"] + params["head"]["bias"]
    return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels])


def compare():
    rng = np.random.default_rng(0)
    state = {
        "conv1.weight": rng.normal(size=(8, 3, 3, 3)) / 5,
        "conv1.bias": rng.normal(size=8) / 5,
        "conv2.weight": rng.normal(size=(16, 8, 3, 3)) / 8,
        "conv2.bias": rng.normal(size=16) / 8,
        "head.weight": rng.normal(size=(10, 16)) / 4,
        "head.bias": rng.normal(size=10) / 4,
    }
    images, labels = rng.normal(size=(8, 3, 12, 12)), rng.integers(0, 10, 8)
    params = {
        name: {
            "kernel": state[f"{name}.weight"].transpose((2, 3, 1, 0) if name != "head" else (1, 0)),
            "bias": state[f"{name}.bias"],
        }
        for name in ("conv1", "conv2", "head")
    }
    return crossgrad.assert_gradients_agree(
        crossgrad.loss(torch_loss, "torch", "torch"),
        crossgrad.loss(jax_loss, "jax", "jax", args=(params, images.transpose(0, 2, 3, 1), labels)),
        args=(state, images, labels),
        rename="auto",
        dtype="float32",
    )


if __name__ == "__main__":
    print(compare())

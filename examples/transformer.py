"""One block of a transformer, in PyTorch's functions and in JAX's: attention, layer norm, gelu.

python examples/transformer.py
"""

import jax
import jax.numpy as jnp
import numpy as np
from torch.nn import functional

import crossgrad

BATCH, LENGTH, WIDTH, HEADS = 2, 10, 16, 4


def torch_loss(p, x):
    h = functional.layer_norm(x, (WIDTH,), p["norm1"]["scale"], p["norm1"]["shift"])
    q, k, v = (h @ p["qkv"]).reshape(BATCH, LENGTH, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
    attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    x = x + attended.transpose(1, 2).reshape(BATCH, LENGTH, WIDTH) @ p["out"]
    h = functional.layer_norm(x, (WIDTH,), p["norm2"]["scale"], p["norm2"]["shift"])
    x = x + functional.gelu(h @ p["up"]) @ p["down"]
    return x.square().mean()


def norm(x, p):
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * p["scale"] + p["shift"]


def jax_loss(p, x):
    q, k, v = jnp.moveaxis((norm(x, p["norm1"]) @ p["qkv"]).reshape(BATCH, LENGTH, 3, HEADS, -1), 2, 0)
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(WIDTH / HEADS).astype(x.dtype)
    causal = jnp.tril(jnp.ones((LENGTH, LENGTH), bool))
    weights = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf))
    x = x + jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(x.shape) @ p["out"]
    # JAX's gelu is the approximation by tanh, unless told otherwise.
    x = x + jax.nn.gelu(norm(x, p["norm2"]) @ p["up"], approximate=False) @ p["down"]
    return (x**2).mean()


def compare():
    rng = np.random.default_rng(0)
    shapes = {"qkv": (WIDTH, 3 * WIDTH), "out": (WIDTH, WIDTH), "up": (WIDTH, 64), "down": (64, WIDTH)}
    params = {name: rng.normal(size=shape) / np.sqrt(shape[0]) for name, shape in shapes.items()}
    for name in ("norm1", "norm2"):
        params[name] = {"scale": 1 + rng.normal(size=WIDTH) / 10, "shift": rng.normal(size=WIDTH) / 10}
    return crossgrad.assert_gradients_agree(
        crossgrad.loss(torch_loss, "torch", "torch"),
        crossgrad.loss(jax_loss, "jax", "jax"),
        args=(params, rng.normal(size=(BATCH, LENGTH, WIDTH))),
        dtype="float32",
    )


if __name__ == "__main__":
    print(compare())

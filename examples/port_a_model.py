"""A model ported from PyTorch to flax, where a square kernel was carried over as it is.

flax keeps kernels as (in, out), torch weights as (out, in): a square one fits
either way, and the model runs. crossgrad compares the gradients, and then the
numbers themselves.

python examples/port_a_model.py
"""

import jax
import numpy as np
import torch
from flax import nnx

import crossgrad

WIDTH, BATCH = 16, 32
KERNELS = ["hidden/kernel", "out/kernel"]


class Ported(nnx.Module):
    def __init__(self):
        self.hidden = nnx.Linear(WIDTH, WIDTH, rngs=nnx.Rngs(0))
        self.out = nnx.Linear(WIDTH, 1, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.out(jax.nn.gelu(self.hidden(x), approximate=False))


original = torch.nn.Sequential(
    torch.nn.Linear(WIDTH, WIDTH), torch.nn.GELU(), torch.nn.Linear(WIDTH, 1)
).requires_grad_(False)
definition = nnx.split(Ported())[0]


def torch_loss(state, x, y):
    return torch.mean((torch.func.functional_call(original, state, (x,)) - y) ** 2)


def flax_loss(params, x, y):
    model = nnx.merge(definition, nnx.State(jax.tree.map(nnx.Param, params)))
    return jax.numpy.mean((model(x) - y) ** 2)


def converted_wrong(state):
    """The conversion with the mistake: only what does not fit was transposed."""
    return {
        "hidden": {"kernel": state["0.weight"], "bias": state["0.bias"]},
        "out": {"kernel": state["2.weight"].T, "bias": state["2.bias"]},
    }


def main():
    rng = np.random.default_rng(0)
    state = {name: tensor.numpy() for name, tensor in original.state_dict().items()}
    x, y = rng.normal(size=(BATCH, WIDTH)).astype("f4"), rng.normal(size=(BATCH, 1)).astype("f4")

    print("The losses, as they are:")
    wrong = crossgrad.loss(lambda state, x, y: flax_loss(converted_wrong(state), x, y), "jax", "flax")
    theirs = crossgrad.loss(torch_loss, "torch", "torch")
    print(crossgrad.compare_gradients(theirs, wrong, args=(state, x, y)))

    print("\nThe ported parameters themselves:")
    ported = crossgrad.loss(flax_loss, "jax", "flax", args=(converted_wrong(state), x, y))
    names = {
        "hidden/kernel": "0.weight",
        "hidden/bias": "0.bias",
        "out/kernel": "2.weight",
        "out/bias": "2.bias",
    }
    try:  # to say what each kernel should be: a weight transposed
        crossgrad.compare_gradients(theirs, ported, args=(state, x, y), rename=names, transpose=KERNELS)
    except crossgrad.InvalidInput as found:
        print(found)

    print("\nMended:")
    right = converted_wrong(state) | {"hidden": {"kernel": state["0.weight"].T, "bias": state["0.bias"]}}
    mended = crossgrad.loss(flax_loss, "jax", "flax", args=(right, x, y))
    print(crossgrad.assert_gradients_agree(theirs, mended, args=(state, x, y), rename="auto"))


if __name__ == "__main__":
    main()

"""A torch.autograd.Function whose backward is wrong: its own loss tells, without another implementation.

The softplus of x is log(1 + exp(x)), its derivative the sigmoid of x. The
backward here takes it of the output instead of the input.

python examples/custom_function.py
"""

import numpy as np
import torch

import crossgrad


class Softplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        out = torch.log1p(torch.exp(x))
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx, grad):
        (out,) = ctx.saved_tensors
        return grad * torch.sigmoid(out)  # the bug: of x, which is out + log(1 - exp(-out))


def custom(w, x):
    return torch.mean(Softplus.apply(x @ w))


def plain(w, x):
    return torch.mean(torch.nn.functional.softplus(x @ w))


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    args = rng.normal(size=(8, 4)).astype("f4"), rng.normal(size=(16, 8)).astype("f4")
    report = crossgrad.compare_gradients(
        crossgrad.loss(custom, "torch", "custom"), crossgrad.loss(plain, "torch", "plain"), args=args
    )
    print(report)

"""Gradients in a test suite: the fixture comes with crossgrad's pytest plugin.

pytest examples/test_mine.py
"""

import numpy as np
import pytest
import torch


def mine(w, x):
    """The logistic loss of labels that are all 1, and its gradient by hand."""
    z = x @ w
    return np.mean(np.logaddexp(0, -z)), x.T @ (-1 / (1 + np.exp(z))) / len(z)


def theirs(w, x):
    return torch.mean(torch.nn.functional.softplus(-(x @ w)))


@pytest.mark.gradients(dtypes=["float32", "float64"])
def test_my_gradient(crossgrad):
    args = crossgrad.rng.normal(size=5), crossgrad.rng.normal(size=(20, 5))
    crossgrad.assert_gradients_agree(
        crossgrad.gradient(mine, "numpy"), crossgrad.loss(theirs, "torch"), args=args
    )

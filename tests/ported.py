"""What the tests of models share: drawn networks, bits, and a library's own gradients held to the model's."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import crossgrad
from crossgrad import Dense, Model, Network
from crossgrad.networks.dtypes import find_dtype
from crossgrad.networks.parameters import DenseParameters, Parameters, draw_parameters

DTYPES = ["float16", "bfloat16", "float32", "float64"]

NETWORKS = st.builds(
    lambda inputs, layers: Network(inputs, tuple(Dense(units, bias=bias) for units, bias in layers)),
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=4),
)

SMALL = Network(3, (Dense(4), Dense(4, bias=False), Dense(1)))
"""As wide as deep in the middle, so that a transposed square matrix would pass by its shape."""


def parameters_of(network: Network, dtype: str, seed: int = 0) -> Parameters:
    """Drawn parameters, with the numbers among them that conversions break first."""
    form = find_dtype(dtype)
    drawn = [
        DenseParameters(W.astype(form.storage), None if b is None else b.astype(form.storage))
        for W, b in draw_parameters(network, seed)
    ]
    drawn[0].W.flat[0] = -0.0
    drawn[-1].W.flat[-1] = form.smallest_subnormal
    if drawn[0].b is not None:
        drawn[0].b[0] = -form.largest
    return tuple(drawn)


def bits(parameters: Sequence[Any]) -> list[Any]:
    """Shapes, dtypes and bytes of every array."""
    arrays = [None if p is None else np.asarray(p) for pair in parameters for p in pair]
    return [None if a is None else (a.shape, a.dtype.name, a.tobytes()) for a in arrays]


def require_agreement(
    model: Model, theirs: Callable[[Any, Any], tuple[Any, Any]], dtype: str = "float64"
) -> None:
    """Hold ``theirs(x, y) -> (loss, grads)``, a library's own gradients of mse on its model, to `model`.

    crossgrad judges, so that there is no tolerance: the oracle knows the true
    values for the parameters that were read.
    """
    report = crossgrad.check(
        model.network,
        params=model.parameters,
        loss="mse",
        batch_size=5,
        dtypes=[dtype],
        backends=["numpy"],
        candidates={"theirs": lambda params, x, y: theirs(x, y)},
    )
    report.raise_if_disagree()
    assert report.ok


def mse(module: Any, x: Any, y: Any) -> Any:
    return ((module(x) - y) ** 2).mean()


def forbid_reading(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Fail the test if the file at `path` is read."""
    read_bytes = Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda self: pytest.fail("it was read") if self == path else read_bytes(self)
    )


def refusal(read: Callable[[Any], Any], model: Any, *fragments: str) -> str:
    """What is said when `model` is refused; it must hold all of `fragments`."""
    with pytest.raises(crossgrad.InvalidInput) as caught:
        read(model)
    message = str(caught.value)
    assert [part for part in fragments if part not in message] == [], message
    return message

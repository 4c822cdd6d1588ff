"""NumPy's arrays that functions take from around them: they stay as they are, and as wide as they are."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad

DRAW = np.random.default_rng(3)
W = DRAW.normal(size=(50, 8))
DATA = DRAW.normal(size=(9, 50))


def by_hand(w: Any) -> Any:
    data = DATA.astype(w.dtype)
    return np.square(data @ w).mean(), data.T @ (data @ w) * (2 / (len(data) * w.shape[1]))


def taken(how: str) -> Callable[[Any], Any]:
    torch = pytest.importorskip("torch")
    tensor = {
        "tensor": lambda dtype: torch.tensor(DATA, dtype=dtype),
        "as_tensor": lambda dtype: torch.as_tensor(DATA).to(dtype),
        "from_numpy": lambda dtype: torch.from_numpy(DATA).to(dtype),
    }[how]
    return lambda w: (tensor(w.dtype) @ w).square().mean()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("how", ["tensor", "as_tensor", "from_numpy"])
def test_reruns_with_errors_write_into_no_array_of_the_users(how: str, dtype: str) -> None:
    before = DATA.copy()
    functions = crossgrad.loss(taken(how), "torch", "torch"), crossgrad.gradient(by_hand, "numpy", "numpy")
    report = crossgrad.compare_gradients(*functions, args=(W,), dtype=dtype)
    assert report.verdict == "agree", str(report)
    np.testing.assert_array_equal(DATA, before)

"""The commonest slips of a backprop by hand are named: right numbers, in another place or scaled."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad
from crossgrad.findings import describe_blame

from .candidates import right

Pairs = list[tuple[Any, Any]]
BACKWARDS = "the gradients come with the last layer first: expected the first layer's first"

SLIPS: dict[str, tuple[str, Callable[[Pairs, Any], Pairs], str, str]] = {
    "list-reversed": ("3-4-2", lambda pairs, params: pairs[::-1], "shape", f"is wrong: {BACKWARDS}"),
    "list-reversed-of-equal-layers": ("4-4-4", lambda pairs, params: pairs[::-1], "permutation", BACKWARDS),
    "pairs-swapped": (
        "3-4-2",
        lambda pairs, params: [(db, dW) for dW, db in pairs],
        "shape",
        "is wrong: each pair holds (db, dW): expected (dW, db)",
    ),
    "transposed": (
        "3-4-2",
        lambda pairs, params: [(dW.T, db) for dW, db in pairs],
        "shape",
        "dW.2 has shape (4, 2), that of its transpose: expected (2, 4)",
    ),
    "transposed-of-an-autoencoder": (
        "4-3-4",
        lambda pairs, params: [(dW.T, db) for dW, db in pairs],
        "shape",
        "dW.2 has shape (3, 4), that of its transpose: expected (4, 3)",
    ),
    "parameters": (
        "3-4-2",
        lambda pairs, params: [(W, b) for W, b in params],
        "unrecognised",
        "dW.1, db.1, dW.2 and db.2 are the parameters and no gradients",
    ),
    "kept-axis": (
        "3-4-2",
        lambda pairs, params: [(dW, db[None]) for dW, db in pairs],
        "shape",
        "db.2 has shape (1, 2), with axes of one too many or too few: expected (2,)",
    ),
    "another-shape": (
        "3-4-2",
        lambda pairs, params: [(dW[:, :1], db) for dW, db in pairs],
        "shape",
        "gave shape (2, 1), expected (2, 4)",
    ),
    "missing": (
        "3-4-2",
        lambda pairs, params: [(dW, None) for dW, _ in pairs],
        "shape",
        "did not deliver it",
    ),
    "updated": (
        "3-4-2",
        lambda pairs, params: [
            (W - dW * W.dtype.type(0.1), b - db * W.dtype.type(0.1))
            for (W, b), (dW, db) in zip(params, pairs, strict=True)
        ],
        "unrecognised",
        "dW.1, db.1, dW.2 and db.2 are the parameters after the step, W - lr dW, and no gradients",
    ),
}
"""By slip: the network, what becomes of the right gradients, the cause, and what is said."""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_named(slip: str, dtype: str) -> None:
    network, change, cause, said = SLIPS[slip]
    correct = right("numpy")

    def mine(params: Any, x: Any, y: Any) -> Any:
        loss, pairs = correct(params, x, y)
        return loss, change(pairs, params)

    report = crossgrad.check(network, backends=["numpy"], dtypes=[dtype], candidates={"mine": mine})
    (blame,) = report.cases[0].blames
    assert (blame.diagnoses[0].cause, said in describe_blame(blame)) == (cause, True)
    assert blame.diagnoses[0].confidence > 0.9


@pytest.mark.parametrize(("factor", "cause"), [(0.5, "factor"), (1 / 7.3, "factor"), (-1, "sign")])
def test_a_factor_that_loss_and_gradients_share_is_the_losss(factor: float, cause: str) -> None:
    """Not the forward pass's, where other faults enter that reach the loss and every gradient."""
    correct = right("numpy")

    def mine(params: Any, x: Any, y: Any) -> Any:
        loss, pairs = correct(params, x, y)
        return factor * loss, [(dW * dW.dtype.type(factor), db * db.dtype.type(factor)) for dW, db in pairs]

    report = crossgrad.check("3-4-3", backends=["numpy"], dtypes=["float32"], candidates={"mine": mine})
    (blame,) = report.cases[0].blames
    found = blame.diagnoses[0]
    assert (blame.enters_at, found.quantity, found.cause) == ("loss", "loss", cause)
    assert found.value == pytest.approx(factor, rel=1e-4)
    assert found.text.startswith("loss ")
    assert found.text.endswith("; the same in dW.2, db.2, dW.1 and db.1")


def test_layers_without_a_bias_have_no_gradient_of_one(tmp_path: Any) -> None:
    """In reverse order a bias's gradient would stand where none is asked for."""
    file = tmp_path / "net.toml"
    file.write_text("inputs = 4\n[[layers]]\nunits = 4\nbias = false\n[[layers]]\nunits = 4\n")

    def wrong(params: Any, x: Any, y: Any) -> Any:
        return 0.0, [(np.ones_like(W), None if b is None else np.ones_like(b)) for W, b in params]

    report = crossgrad.check(str(file), backends=["numpy"], dtypes=["float64"], candidates={"mine": wrong})
    (blame,) = report.cases[0].blames
    assert "diagnosis failed" not in blame.diagnoses[0].text

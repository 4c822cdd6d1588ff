"""Leaves of one structure among those of another: maps, proposals, and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrad import compare_gradients, gradient
from crossgrad.functions.matching import Place, match, propose
from crossgrad.networks.errors import InvalidInput

RNG = np.random.default_rng(0)
TORCH = {"fc1.weight": RNG.normal(size=(30, 784)), "fc1.bias": RNG.normal(size=30)}
FLAX = {"dense/kernel": TORCH["fc1.weight"].T, "dense/bias": TORCH["fc1.bias"]}
RENAME = {"dense/kernel": "fc1.weight", "dense/bias": "fc1.bias"}


def matched(own: Any, others: Any, rename: Any = None, transpose: Any = (), same_values: bool = True) -> Any:
    return match("mine", own, others, rename, transpose, same_values=same_values)


def test_equal_names_match() -> None:
    assert matched(TORCH, TORCH) == {
        "fc1.weight": Place("fc1.weight", (0, 1)),
        "fc1.bias": Place("fc1.bias", (0,)),
    }


@pytest.mark.parametrize("transpose", [["dense/kernel"], {"dense/kernel": (1, 0)}], ids=["names", "axes"])
def test_a_map(transpose: Any) -> None:
    found = matched(FLAX, TORCH, RENAME, transpose)
    np.testing.assert_array_equal(found["dense/kernel"].there(FLAX["dense/kernel"]), TORCH["fc1.weight"])
    np.testing.assert_array_equal(found["dense/kernel"].back(TORCH["fc1.weight"]), FLAX["dense/kernel"])


def test_the_proposal_can_be_pasted() -> None:
    with pytest.raises(InvalidInput) as caught:
        matched(FLAX, TORCH)
    text = str(caught.value)
    assert "dense/kernel (784, 30) looks like fc1.weight (30, 784) transposed, with the same values" in text
    given_ = text.partition("if so: ")[2].partition(";")[0]
    options = eval(f"dict({given_})")  # what a user would paste
    assert matched(FLAX, TORCH, **options) == matched(FLAX, TORCH, "auto")


@given(st.permutations(range(4)), st.permutations(range(5)))
def test_values_tell_what_is_what(axes: list[int], order: list[int]) -> None:
    """Whatever the names and layouts are: no two leaves hold the same numbers."""
    rng = np.random.default_rng(1)
    others = {f"leaf{n}": rng.normal(size=(2, 2, 2, 2)) for n in range(5)}
    own = {f"part{k}": np.transpose(others[f"leaf{k}"], axes) for k in order}
    found = propose(own, others, same_values=True)
    assert {name: place.name for name, place in found.items()} == {f"part{k}": f"leaf{k}" for k in range(5)}
    for name, place in found.items():
        np.testing.assert_array_equal(place.there(own[name]), others[place.name])


@pytest.mark.parametrize(
    ("own", "options", "says"),
    [
        pytest.param(
            {"fc1.weight": TORCH["fc1.weight"]},
            {},
            "mine gives no gradient for fc1.bias",
            id="one-left-out",
        ),
        pytest.param(FLAX, {"rename": RENAME}, r"has shape \(784, 30\), expected \(30, 784\)", id="shape"),
        pytest.param(
            {"a": np.ones(30), "b": np.ones(30)},
            {"rename": {"a": "fc1.bias", "b": "fc1.bias"}},
            "two leaves are renamed to fc1.bias",
            id="twice",
        ),
        pytest.param(
            FLAX,
            {"rename": RENAME, "transpose": {"dense/kernel": (0, 2)}},
            r"gives dense/kernel the axes \(0, 2\)",
            id="axes",
        ),
        pytest.param(
            TORCH | {"fc1.bias": np.zeros(30)},
            {},
            "fc1.bias does not hold the numbers of fc1.bias: is it another model's",
            id="other-values",
        ),
    ],
)
def test_refused(own: Any, options: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        matched(own, TORCH, **options)


def test_a_square_kernel_that_was_ported_as_it_is() -> None:
    """Its shape fits either way: the values tell."""
    square = {"w": RNG.normal(size=(5, 5))}
    with pytest.raises(InvalidInput, match=r"transpose=\{'w': \(1, 0\)\} makes them equal"):
        matched({"w": square["w"].T}, square)


def test_what_auto_took_for_what_is_said() -> None:
    """A wrong guess among leaves of one shape would look like a wrong gradient."""
    W = RNG.normal(size=(3, 2)).astype(np.float32)
    one = gradient(lambda p: ((p["W"] ** 2).sum(), {"W": 2 * p["W"]}), "numpy", "one")
    ported = gradient(
        lambda p: ((p["kernel"] ** 2).sum(), {"kernel": 2 * p["kernel"]}),
        "numpy",
        "ported",
        args=({"kernel": W.T.copy()},),
    )
    report = compare_gradients(one, ported, args=({"W": W},), rename="auto")
    assert report.verdict == "agree"
    assert 'ported: rename="auto" took kernel for W, its axes in another order' in report.notes
    same = compare_gradients(one, replace(one, name="two"), args=({"W": W},), rename="auto")
    assert not [note for note in same.notes if "auto" in note]

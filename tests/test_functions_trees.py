"""Containers taken apart and put together again."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrad.functions.trees import take_apart
from crossgrad.networks.errors import InvalidInput

Pair = namedtuple("Pair", ["W", "b"])


@dataclass(frozen=True)
class Layer:
    W: Any
    b: Any


LEAVES = st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
KEYS = st.text(alphabet="abcxyz", min_size=1, max_size=3)
TREES = st.recursive(
    LEAVES | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.builds(Pair, inner, inner)
        | st.builds(Layer, inner, inner)
    ),
    max_leaves=12,
)


@given(TREES)
def test_what_is_taken_apart_can_be_put_together(tree: Any) -> None:
    apart = take_apart(tree)
    assert apart.with_leaves(apart.leaves) == tree


@given(TREES)
def test_other_leaves_take_the_places_of_the_first(tree: Any) -> None:
    apart = take_apart(tree)
    other = apart.with_leaves({path: ("leaf", path) for path in apart.leaves})
    found = take_apart(other).leaves
    assert [path.rpartition("/")[0] for path in found if path.endswith("/0") or path == "0"] == list(
        apart.leaves
    )


@pytest.mark.parametrize(
    ("tree", "paths"),
    [
        pytest.param({"dense": {"kernel": 1, "bias": 2}}, ["dense/kernel", "dense/bias"], id="dicts"),
        pytest.param([(1, 2), (3, None)], ["0/0", "0/1", "1/0"], id="pairs"),
        pytest.param(OrderedDict({"fc1.weight": 1}), ["fc1.weight"], id="state-dict"),
        pytest.param([Pair(1, 2)], ["0/W", "0/b"], id="named-tuple"),
        pytest.param({"l": Layer(1, 2)}, ["l/W", "l/b"], id="dataclass"),
        pytest.param(np.ones(2), [""], id="array"),
        pytest.param((), [], id="empty"),
    ],
)
def test_paths(tree: Any, paths: list[str]) -> None:
    assert list(take_apart(tree).leaves) == paths


def test_two_leaves_of_one_path_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two leaves have the path 'a/b'"):
        take_apart({"a": {"b": 1}, "a/b": 2})


def test_a_container_that_holds_itself_is_refused() -> None:
    tree: list[Any] = []
    tree.append(tree)
    with pytest.raises(InvalidInput, match="hold itself"):
        take_apart(tree)


def test_what_jax_knows_as_a_tree() -> None:
    jax = pytest.importorskip("jax")

    class Box:
        def __init__(self, inside: Any) -> None:
            self.inside = inside

    jax.tree_util.register_pytree_with_keys(
        Box,
        lambda box: (((jax.tree_util.GetAttrKey("inside"), box.inside),), None),
        lambda _, parts: Box(*parts),
    )
    apart = take_apart({"box": Box(1)})
    assert list(apart.leaves) == ["box/inside"]
    assert apart.with_leaves({"box/inside": 5})["box"].inside == 5

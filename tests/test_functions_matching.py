"""Leaves of one structure among those of another: maps, proposals, and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgrad import compare_gradients, gradient, loss
from crossgrad.functions.matching import match
from crossgrad.functions.places import Place
from crossgrad.functions.proposing import propose
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


KERNELS = [RNG.normal(size=(4, 4)) for _ in range(3)]
ZEROS, ONES, UNIT = np.zeros(4), np.ones(4), np.eye(4)


def layers(names: str, first: int, *kinds: str, leaves: Any = KERNELS) -> dict[str, Any]:
    """Layers of kernels, and of zeros that are in all of them the same."""
    own = {names.format(first + n, kinds[0]): leaf for n, leaf in enumerate(leaves)}
    return own | {names.format(first + n, kind): ZEROS for n in range(len(leaves)) for kind in kinds[1:]}


@pytest.mark.parametrize(
    ("own", "others"),
    [
        (layers("Dense_{}/{}", 0, "kernel", "bias"), layers("fc{}/{}", 1, "weight", "bias")),
        (layers("{1}_{0}", 0, "kernel", "bias"), layers("{1}{0}", 1, "W", "b")),
        (layers("{}/{}", 0, "0", "1"), layers("layers.{}.{}", 1, "weight", "bias")),
        (layers("h/{}/{}", 7, "attn/w", "ln/b"), layers("block_{}/{}", 0, "Dense_0/kernel", "LayerNorm_0/b")),
    ],
    ids=["flax", "flat", "tuples", "deep"],
)
@pytest.mark.parametrize("reverse", [False, True], ids=["", "reversed"])
def test_leaves_of_equal_values_follow_their_layers(own: Any, others: Any, reverse: bool) -> None:
    """Biases of zeros: names alone would have taken Dense_1/bias for fc1/bias."""
    if reverse:
        own = dict(zip(own, [*list(own.values())[2::-1], *list(own.values())[3:]], strict=True))
    found = propose(own, others, same_values=True)
    order = [2, 1, 0, 5, 4, 3] if reverse else range(6)
    assert [list(others).index(found[name].name) for name in own] == list(order)
    assert not any(place.guessed for place in found.values())


def test_norms_of_a_layer_stay_in_their_order() -> None:
    own = {f"h/{k}/ln_{n}/scale": ONES for k in range(12) for n in range(2)}
    others = {f"blocks.{k}.norm{n + 1}.weight": ONES for k in range(12) for n in range(2)}
    own |= {f"h/{k}/w": k * UNIT + KERNELS[0] for k in range(12)}
    others |= {f"blocks.{k}.kernel": k * UNIT + KERNELS[0] for k in range(12)}
    shuffled = dict(sorted(own.items()))  # as JAX does: h/10 before h/2
    found = propose(shuffled, others, same_values=True)
    assert [found[name].name for name in own] == list(others)


@pytest.mark.parametrize("square", [UNIT, 0 * UNIT, UNIT + 1], ids=["unit", "zero", "symmetric"])
def test_a_kernel_that_is_its_own_transpose_is_ported_as_the_others_are(square: Any) -> None:
    kernels = [KERNELS[0], square]
    others = layers("fc{}/{}", 1, "weight", leaves=kernels)
    found = propose(layers("Dense_{}/{}", 0, "kernel", leaves=[W.T for W in kernels]), others, True)
    assert [(place.axes, place.guessed) for place in found.values()] == [((1, 0), False)] * 2
    alone = propose({"kernel": square}, {"weight": square}, same_values=True)
    assert alone["kernel"] == Place("weight", (0, 1), guessed=True)


def test_a_guess_is_called_one() -> None:
    own, others = ({name.format(n): ZEROS for n in (0, 1)} for name in ("bias_{}", "b{}"))
    found = propose(own, others, same_values=True)
    assert found == {"bias_0": Place("b0", (0,), guessed=True), "bias_1": Place("b1", (0,), guessed=True)}
    with pytest.raises(InvalidInput, match=r"with the same values \(a guess: others fit as well\)"):
        matched(own, others)


def test_axes_of_length_one_are_in_no_order() -> None:
    one = np.ones((1, 1))
    assert propose({"kernel": one}, {"weight": one}, True) == {"kernel": Place("weight", (0, 1))}
    turned = propose({"kernel": np.ones((1, 3))}, {"weight": np.ones((3, 1))}, True)
    assert turned == {"kernel": Place("weight", (1, 0))}


def test_a_fresh_port_agrees() -> None:
    """Biases are zero in it; the one that another layer has would get the other's gradient."""
    torch, jnp = pytest.importorskip("torch"), pytest.importorskip("jax.numpy")
    W1, W2, x = (RNG.normal(size=(4, 4)) for _ in range(3))
    params = {"fc1": {"weight": W1, "bias": ZEROS}, "fc2": {"weight": W2, "bias": ZEROS}}
    port = {"Dense_0": {"kernel": W1.T, "bias": ZEROS}, "Dense_1": {"kernel": W2.T, "bias": ZEROS}}

    def original(p: Any, x: Any) -> Any:
        hidden = torch.tanh(x @ p["fc1"]["weight"].T + p["fc1"]["bias"])
        return ((hidden @ p["fc2"]["weight"].T + p["fc2"]["bias"]) ** 2).mean()

    def ported(p: Any, x: Any) -> Any:
        hidden = jnp.tanh(x @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"])
        return ((hidden @ p["Dense_1"]["kernel"] + p["Dense_1"]["bias"]) ** 2).mean()

    functions = loss(original, "torch", "torch"), loss(ported, "jax", "flax", args=(port, x))
    report = compare_gradients(*functions, args=(params, x), rename="auto")
    assert report.verdict == "agree", str(report)
    assert not any("guess" in note for note in report.notes)


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


def test_a_kernel_behind_another_flattening_is_told() -> None:
    """Its rows are in the order (H, W, C) in the one, and (C, H, W) in the other."""
    kernel = RNG.normal(size=(2 * 3 * 4, 5))
    permuted = kernel.reshape(2, 3, 4, 5).transpose(1, 2, 0, 3).reshape(24, 5)
    with pytest.raises(
        InvalidInput, match="it holds them in another order, as where one of the two flattens"
    ):
        matched({"w": permuted}, {"w": kernel})


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

"""Numbers of a diagnosis: names of factors, and significant bits."""

import numpy as np
import pytest

import crossgrad
from crossgrad.diagnosis.numbers import name_of
from crossgrad.diagnosis.precision import kept_bits

from .conftest import make_case
from .planted import case_for


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (2, "2"),
        (0.5, "1/2"),
        (6, "B"),
        (1 / 6, "1/B"),
        (24, "B O"),
        (1 / 24, "1/(B O)"),
        (1 / 12, "1/(2 B)"),
    ],
)
def test_a_factor_has_its_simplest_name(value: float, name: str) -> None:
    found = name_of(case_for("float32"), value, 1e-6)
    assert found is not None
    assert found.text == name


def test_a_factor_of_no_meaning_has_no_name() -> None:
    assert name_of(case_for("float32"), 3.7, 1e-6) is None


def test_bits_are_counted() -> None:
    values = np.array([0, 1, 3, 1.5, -0.625, np.inf, np.nan])
    np.testing.assert_array_equal(kept_bits(values), [0, 1, 2, 2, 3, 0, 0])


@pytest.mark.parametrize(
    ("layers", "said"),
    [((1, 2, 3), "a missing 1/2 in the loss"), ((2,), "added twice"), ((3,), "a missing 1/2 in the loss")],
)
def test_one_layer_below_the_last_says_nothing_of_the_loss(layers: tuple[int, ...], said: str) -> None:
    def gradients(params, x, y):
        outputs = [x]
        for W, b in params:
            outputs.append(1 / (1 + np.exp(-(outputs[-1] @ W.T + b))))
        r, grads = outputs[-1] - y, []
        da = 2 * r / r.size
        for n in range(len(params), 0, -1):
            dz = da * outputs[n] * (1 - outputs[n])
            factor = 2 if n in layers else 1
            grads.append((factor * dz.T @ outputs[n - 1], factor * dz.sum(axis=0)))
            da = dz @ params[n - 1][0]
        return np.mean(r * r), grads[::-1]

    report = crossgrad.check(
        "6-5-5-3", batch_size=8, backends=["numpy"], dtypes=["float64"], candidates={"mine": gradients}
    )
    (blame,) = report.cases[0].blames
    assert "is 2 times what it should be" in blame.diagnoses[0].text
    assert said in blame.diagnoses[0].text


@pytest.mark.parametrize(("value", "text"), [(4.0, "B or O"), (0.25, "1/B or 1/O"), (16.0, "B O")])
def test_of_as_many_samples_as_outputs_it_is_not_known_which(value: float, text: str) -> None:
    found = name_of(make_case("3-4", "float32", batch_size=4), value, 1e-6)
    assert found is not None
    assert found.text == text
    assert found.hint(of_one_layer=False) is not None

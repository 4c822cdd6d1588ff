"""Numbers of a diagnosis: names of factors, and significant bits."""

import numpy as np
import pytest

from crossgrad.diagnosis.numbers import name_of
from crossgrad.diagnosis.precision import kept_bits

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

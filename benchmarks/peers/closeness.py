"""Peers that compare two results: real functions with their defaults, and rules from their sources.

Each is given a run's loss and gradients, tensor by tensor, beside a right
engine's in the same dtype. What is re-implemented follows the formula that its
source documents, on values widened to float64.
"""

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np

from crossgrad.networks.cases import Case
from crossgrad.networks.dtypes import Array, DType

from .checker import REIMPLEMENTED, Accepts, Checker, Quantities, engine_gradients


class Closeness(Checker):
    """A rule on pairs of tensors: accepted if every pair is close."""

    def prepare(self, case: Case, against: tuple[str, str]) -> Accepts:
        reference = engine_gradients(case, against)
        return lambda got: self.all_close({name: got[name] for name in reference}, reference, case.format)

    def all_close(self, got: Quantities, reference: Quantities, dtype: DType) -> bool:
        return all(self.close(one, other, dtype) for one, other in _pairs(got, reference))

    @abstractmethod
    def close(self, got: Array, reference: Array, dtype: DType) -> bool:
        """Whether one tensor is close to the right engine's."""


class AssertAllclose(Closeness):
    name = "numpy.testing.assert_allclose"
    package = "numpy"
    rule = "|got - right| <= 1e-7 |right|"

    def close(self, got: Array, reference: Array, dtype: DType) -> bool:
        return _passes(np.testing.assert_allclose, got, reference)


class Allclose(Closeness):
    name = "numpy.allclose"
    package = "numpy"
    rule = "|got - right| <= 1e-8 + 1e-5 |right|"

    def close(self, got: Array, reference: Array, dtype: DType) -> bool:
        return bool(np.allclose(got, reference))


class TorchAssertClose(Closeness):
    name = "torch.testing.assert_close"
    package = "torch"
    rule = (
        "|got - right| <= atol + rtol |right|, (atol, rtol) by dtype: float64 (1e-7, 1e-7), "
        "float32 (1e-5, 1.3e-6), bfloat16 (1e-5, 1.6e-2), float16 (1e-5, 1e-3)"
    )

    def all_close(self, got: Quantities, reference: Quantities, dtype: DType) -> bool:
        from torch.testing import assert_close

        tensors = [{name: _tensor(array) for name, array in side.items()} for side in (got, reference)]
        return _passes(assert_close, *tensors)

    def close(self, got: Array, reference: Array, dtype: DType) -> bool:
        return self.all_close({"": got}, {"": reference}, dtype)


class Chex(Closeness):
    name = "chex.assert_trees_all_close"
    package = "chex"
    rule = "|got - right| <= 1e-6 |right|"

    def all_close(self, got: Quantities, reference: Quantities, dtype: DType) -> bool:
        import chex

        return _passes(chex.assert_trees_all_close, dict(got), dict(reference))

    def close(self, got: Array, reference: Array, dtype: DType) -> bool:
        return self.all_close({"": got}, {"": reference}, dtype)


class Gradbench(Closeness):
    """The rule came from ADBench. NaN passes: the comparison asks whether the ratio is too large."""

    name = "gradbench's rule"
    made = REIMPLEMENTED
    rule = (
        "|got - right| / max(1, |got| + |right|) is not > 1e-4 "
        "(github.com/gradbench/gradbench, python/gradbench/gradbench/comparison.py)"
    )

    def close(self, got: Array, reference: Array, dtype: DType) -> bool:
        got, reference = _widened(got), _widened(reference)
        with np.errstate(all="ignore"):
            ratio = np.abs(got - reference) / np.maximum(1, np.abs(got) + np.abs(reference))
        return not np.any(ratio > 1e-4)


class Polygraphy(Closeness):
    name = "Polygraphy's rule"
    made = REIMPLEMENTED
    rule = (
        "each element within 1e-5 absolutely or within 1e-5 relatively, NaN in neither "
        "(github.com/NVIDIA/TensorRT, tools/Polygraphy/polygraphy/comparator/compare.py, "
        "CompareFunc.simple with its default error statistic, elemwise)"
    )

    def close(self, got: Array, reference: Array, dtype: DType) -> bool:
        got, reference = _widened(got), _widened(reference)
        with np.errstate(all="ignore"):
            error = np.abs(got - reference)
            relative = error / np.abs(np.where(reference == 0, np.finfo(np.float64).eps, reference))
        return bool(np.all((error <= 1e-5) | (relative <= 1e-5)))


class DifferentiationInterfaceTest(Closeness):
    name = "DifferentiationInterfaceTest's rule"
    made = REIMPLEMENTED
    rule = (
        "||got - right|| <= 1e-3 max(||got||, ||right||) by tensor: Julia's isapprox with the defaults "
        "atol = 0, rtol = 1e-3 of test_differentiation (github.com/JuliaDiff/DifferentiationInterface.jl, "
        "DifferentiationInterfaceTest/src/test_differentiation.jl)"
    )

    def close(self, got: Array, reference: Array, dtype: DType) -> bool:
        got, reference = _widened(got), _widened(reference)
        if np.array_equal(got, reference):
            return True
        with np.errstate(all="ignore"):
            distance, *norms = (_norm(array) for array in (got - reference, got, reference))
        return bool(np.isfinite(distance) and distance <= 1e-3 * max(norms))


class EpsilonsOfLargest(Closeness):
    name = "256 eps of the largest"
    made = REIMPLEMENTED
    rule = "max |got - right| <= 256 eps max |right| by tensor: the best fixed rule that we found"

    def close(self, got: Array, reference: Array, dtype: DType) -> bool:
        got, reference = _widened(got), _widened(reference)
        if np.array_equal(got, reference, equal_nan=True):
            return True
        with np.errstate(all="ignore"):
            return bool(np.max(np.abs(got - reference)) <= 256 * dtype.eps * np.max(np.abs(reference)))


def _pairs(got: Quantities, reference: Quantities) -> Iterator[tuple[Array, Array]]:
    return ((got[name], array) for name, array in reference.items())


def _passes(assertion, *sides) -> bool:
    try:
        assertion(*sides)
    except AssertionError:
        return False
    return True


def _widened(array: Array) -> Array:
    return np.asarray(array, np.float64)


def _norm(array: Array) -> float:
    """Of all elements; scaled, so that squares neither overflow nor vanish, as Julia's norm does."""
    largest = float(np.max(np.abs(array)))
    if not largest or not np.isfinite(largest):
        return largest
    return largest * float(np.linalg.norm(array.ravel() / largest))


def _tensor(array: Array):
    """As a torch tensor of the same dtype; torch takes no bfloat16 from NumPy, but its bits."""
    import torch

    if array.dtype.name == "bfloat16":
        return torch.from_numpy(np.array(array).view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))

"""The matrix products that steps are measured against: the laws of `Products`, for each engine with some."""

import numpy as np
import pytest

from crossgrad.backends.base import Products, Unsupported
from crossgrad.networks.cases import Case

from .conftest import DEVICES, NATIVE, load_or_skip, make_case

ENGINES = ["numpy", "torch", "jax"]


def products_or_skip(case: Case, backend: str, device: str) -> Products:
    """The products of an engine, or a skip: absent engine or device, or said to be unsupported."""
    try:
        return load_or_skip(backend, device).products(case, device)
    except Unsupported as error:
        pytest.skip(f"unsupported, as it should say: {error}")


def arrays(result: object) -> list[np.ndarray]:
    """What products returned, as NumPy arrays, however it is nested."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (list, tuple)):
        return [array for part in result for array in arrays(part)]
    return [np.asarray(result.cpu() if hasattr(result, "cpu") else result)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("backend", ENGINES)
class TestProducts:
    @pytest.mark.parametrize("dtype", NATIVE)
    def test_they_are_those_of_the_case(self, backend: str, device: str, dtype: str) -> None:
        """As many as a step has, of its shapes, in its dtype, and numbers of order one throughout.

        Each shape occurs once in 5-7-4-3 at batch 6 but z and da of the inner layers: with
        z.n (B, O) and dW.n (O, I) for each layer and da.n for all but the last, 2 n m k
        FLOPs each, a step's FLOPs follow from the shapes.
        """
        case = make_case("5-7-4-3", dtype, batch_size=6)
        products = products_or_skip(case, backend, device)
        forward, step = arrays(products.forward()), arrays(products.step())
        products.synchronize()
        z, dW, da = [(6, 7), (6, 4), (6, 3)], [(7, 5), (4, 7), (3, 4)], [(6, 7), (6, 4)]
        assert sorted(array.shape for array in forward) == sorted(z)
        assert sorted(array.shape for array in step) == sorted(z + dW + da)
        for array in step:
            assert array.dtype == case.format.storage
            assert np.isfinite(array).all()
            assert 1e-3 < np.abs(array).max() < 1e3

    @pytest.mark.parametrize("layers", [5, 12])
    def test_a_deep_network_has_three_a_layer(self, backend: str, device: str, layers: int) -> None:
        products = products_or_skip(
            make_case("-".join(["4"] * (layers + 1)), "float32", batch_size=3), backend, device
        )
        assert len(arrays(products.step())) == 3 * layers - 1

    def test_a_network_of_one_layer_has_no_da(self, backend: str, device: str) -> None:
        products = products_or_skip(make_case("4-3", "float32", batch_size=2), backend, device)
        shapes = sorted(array.shape for array in arrays(products.step()))
        assert shapes == [(2, 3), (3, 4)]

    @pytest.mark.parametrize("network", ["1-1-1", pytest.param("64-100-10", marks=pytest.mark.slow)])
    def test_what_is_copied_grows_with_the_case(self, backend: str, device: str, network: str) -> None:
        case = make_case(network, "float32", batch_size=32)
        products = products_or_skip(case, backend, device)
        products.copy()
        products.synchronize()
        parameters = sum(W.nbytes for W, _ in case.parameters)
        assert max(4096, 2 * parameters) <= products.copied_bytes <= 256 * 2**20

    def test_they_can_be_timed(self, backend: str, device: str) -> None:
        products = products_or_skip(make_case("4-3", "float32", batch_size=2), backend, device)
        for call in (products.forward, products.step, products.copy):
            assert products.seconds(call, 2) > 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "tf32"])
def test_numpy_has_no_products_in_half_precision(dtype: str) -> None:
    with pytest.raises(Unsupported, match=f"numpy's matrix product does not compute in {dtype}"):
        load_or_skip("numpy").products(make_case("3-2", dtype), "cpu")

"""Every engine against the oracle, over networks, losses and dtypes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crossgrad
from crossgrad.networks.catalogue import CATALOGUE
from crossgrad.networks.spec import Dense, Network

from .conftest import DEFAULTS, HALF, NATIVE, VARIANTS, engine_grid, load_or_skip, make_case, run_trace

ONEDNN = ("cpu", "float32")
"""Where PyTorch's products can be oneDNN's and are not anyway."""

NO_BIAS = Network(3, (Dense(4, bias=False), Dense(2)))


def assert_agrees(report: crossgrad.Report, compared: int) -> None:
    report.raise_if_disagree()
    assert len(report.comparisons) >= compared


@engine_grid(
    [pair for pair in VARIANTS if pair[1] != "compile"],
    dtype=NATIVE,
    network=["article", "primer", "7-5-3", "digits"],
)
def test_agrees_with_numpy(backend: str, variant: str, device: str, dtype: str, network: str) -> None:
    if variant == "forward" and network in ("digits", "7-5-3"):
        pytest.skip("forward mode is for small networks: see test_forward_mode_on_a_small_network")
    if (variant == "cudagraph" and device == "cpu") or (variant == "onednn" and (device, dtype) != ONEDNN):
        pytest.skip("unsupported: test_laws.py has it say so")
    assert_agrees_with_numpy(backend, variant, device, dtype, network)


@pytest.mark.slow
@engine_grid([("torch", "compile")], dtype=NATIVE, network=["7-5-3", "digits"])
def test_compiled_it_agrees_with_numpy(
    backend: str, variant: str, device: str, dtype: str, network: str
) -> None:
    """In rows shorter and longer than a vector of the processor; test_golden.py has the network 1-1-1."""
    assert_agrees_with_numpy(backend, variant, device, dtype, network)


def assert_agrees_with_numpy(backend: str, variant: str, device: str, dtype: str, network: str) -> None:
    load_or_skip(backend, device)
    names = [f"{backend}:{variant}", "numpy"]
    report = crossgrad.check(network, backends=names, devices=["cpu", device], dtypes=[dtype])
    assert_agrees(report, compared=len(make_case(network, dtype).quantities))


@pytest.mark.parametrize("dtype", NATIVE)
def test_forward_mode_on_a_small_network(dtype: str) -> None:
    load_or_skip("jax")
    report = crossgrad.check("3-4-2", backends=["jax:forward", "numpy"], dtypes=[dtype], batch_size=8)
    assert_agrees(report, compared=18)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("network", ["article", "7-5-3", "digits"])
def test_half_precision(network: str, dtype: str) -> None:
    for backend, _ in DEFAULTS:
        load_or_skip(backend)
    assert_agrees(crossgrad.check(network, dtypes=[dtype], devices=["cpu"]), compared=18)


@pytest.mark.parametrize("loss", ["mse", "mse-sum", "half-mse"])
@pytest.mark.parametrize("network", [NO_BIAS, "4-3-2"], ids=["no-bias", "bias"])
def test_losses_and_missing_biases(network: Network | str, loss: str) -> None:
    for backend, _ in DEFAULTS:
        load_or_skip(backend)
    report = crossgrad.check(network, loss=loss, batch_size=6, devices=["cpu"])
    assert_agrees(report, compared=2 * 16)
    delivered = {comparison.quantity for comparison in report.comparisons}
    assert ("db.1" in delivered) == (network is not NO_BIAS)


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_catalogue_runs_on_numpy(name: str) -> None:
    assert_agrees(crossgrad.check(name, backends=["numpy"], dtypes=["float32"]), compared=18)


def test_one_sample_per_call_adds_up_to_the_batch() -> None:
    """With mse-sum the gradient of a batch is the sum of its samples' gradients."""
    case = make_case("5-4-3", "float64", loss="mse-sum", batch_size=4)
    whole = run_trace(case, "numpy", "manual").quantities
    parts = [
        run_trace(
            make_case(
                "5-4-3",
                "float64",
                loss="mse-sum",
                batch=(case.batch.x[s : s + 1], case.batch.y[s : s + 1]),
                params=case.parameters,
            ),
            "numpy",
            "manual",
        ).quantities
        for s in range(4)
    ]
    for name in ("dW.1", "db.1", "dW.2", "db.2"):
        np.testing.assert_allclose(sum(part[name] for part in parts), whole[name], rtol=1e-12, atol=1e-15)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    widths = draw(st.lists(st.integers(1, 12), min_size=2, max_size=6))
    return Network(widths[0], tuple(Dense(units, bias=draw(st.booleans())) for units in widths[1:]))


@settings(max_examples=40)
@given(
    network=networks(),
    loss=st.sampled_from(["mse", "mse-sum", "half-mse"]),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 2**32),
)
def test_numpy_and_torch_agree_on_random_networks(
    network: Network, loss: str, batch_size: int, seed: int
) -> None:
    load_or_skip("torch")
    report = crossgrad.check(
        network,
        loss=loss,
        batch_size=batch_size,
        seed=seed,
        backends=["numpy", "torch"],
        devices=["cpu"],
        dtypes=["float32", "float64"],
    )
    assert_agrees(report, compared=2 * 10)


@settings(max_examples=6)
@given(network=networks(), batch_size=st.integers(1, 9), seed=st.integers(0, 2**32))
def test_all_engines_agree_on_random_networks(network: Network, batch_size: int, seed: int) -> None:
    for backend, _ in DEFAULTS:
        load_or_skip(backend)
    report = crossgrad.check(network, batch_size=batch_size, seed=seed, devices=["cpu"], dtypes=["float64"])
    assert_agrees(report, compared=10)


@settings(max_examples=20)
@given(network=networks(), loss=st.sampled_from(["mse", "mse-sum", "half-mse"]), seed=st.integers(0, 2**32))
def test_finite_differences(network: Network, loss: str, seed: int) -> None:
    """The hand-derived float64 gradient against the definition of a derivative, along a random direction.

    A central difference with step h errs by about h**2 and eps/h relative to
    the loss: 1e-5 balances them at 1e-10.
    """
    from crossgrad.networks.catalogue import build_case, find_entry

    case = build_case(find_entry(network), dtype="float64", loss=loss, batch_size=3, seed=seed)
    found = run_trace(case, "numpy", "manual").quantities
    rng = np.random.default_rng(seed)
    h, slope, shifted = 1e-5, 0.0, ([], [])
    for n, (W, b) in enumerate(case.parameters, start=1):
        vW, vb = rng.standard_normal(W.shape), None if b is None else rng.standard_normal(b.shape)
        slope += float(np.sum(found[f"dW.{n}"] * vW)) + (
            0 if b is None else float(np.sum(found[f"db.{n}"] * vb))
        )
        for side, params in zip((h, -h), shifted, strict=True):
            params.append((W + side * vW, None if b is None else b + side * vb))
    values = [
        float(
            run_trace(
                build_case(find_entry(network), dtype="float64", loss=loss, batch=case.batch, params=params),
                "numpy",
                "manual",
            ).quantities["loss"]
        )
        for params in shifted
    ]
    difference = (values[0] - values[1]) / (2 * h)
    assert abs(difference - slope) <= 1e-7 * max(1.0, abs(slope), values[0])


@pytest.mark.parametrize("name", dict(VARIANTS))
def test_variants_listed_here_are_those_that_the_engine_has(name: str) -> None:
    assert [pair[1] for pair in VARIANTS if pair[0] == name] == list(load_or_skip(name).variants)

"""Kernels of LAPACK: their errors are those of a whole matrix, and what is wrong is found beside these."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import crossgrad

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

Loss = Callable[[Any], Any]

PAIRS: dict[str, tuple[Loss, Loss]] = {
    "spectral-norm": (lambda A: torch.linalg.matrix_norm(A, 2), lambda A: jnp.linalg.norm(A, 2)),
    "nuclear-norm": (lambda A: torch.linalg.matrix_norm(A, "nuc"), lambda A: jnp.linalg.norm(A, "nuc")),
    "singular-values": (
        lambda A: (torch.linalg.svdvals(A) ** 3).sum(),
        lambda A: (jnp.linalg.svd(A, compute_uv=False) ** 3).sum(),
    ),
    "eigenvalues": (
        lambda A: (torch.linalg.eigvalsh(A + A.T) ** 3).sum(),
        lambda A: (jnp.linalg.eigvalsh(A + A.T) ** 3).sum(),
    ),
    "inverse": (lambda A: (torch.linalg.inv(A) ** 2).sum(), lambda A: (jnp.linalg.inv(A) ** 2).sum()),
    "logdet": (lambda A: torch.linalg.slogdet(A)[1], lambda A: jnp.linalg.slogdet(A)[1]),
}


class Spoilt(torch.autograd.Function):  # type: ignore[misc,name-defined]
    """A number or matrix as it is, whose gradient is not."""

    @staticmethod
    def forward(ctx: Any, x: Any, spoil: Any) -> Any:
        ctx.spoil = spoil
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return ctx.spoil(g), None


def compared(theirs: Loss, ours: Loss, A: Any) -> Any:
    both = crossgrad.loss(theirs, "torch", "torch"), crossgrad.loss(ours, "jax", "jax")
    return crossgrad.compare_gradients(*both, args=(A,), dtype="float32")


def spoilt(name: str, spoil: Loss, A: Any) -> Any:
    theirs, ours = PAIRS[name]
    return compared(lambda A: theirs(Spoilt.apply(A, spoil)), ours, A)


def gaussian(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def separated(size: int) -> Any:
    """A matrix whose singular values are apart."""
    (left, _), (right, _) = (np.linalg.qr(gaussian(seed, size, size)) for seed in range(2))
    return left * np.linspace(2, 0.5, size) ** 2 @ right.T


@pytest.mark.parametrize("name", PAIRS)
def test_right_code_is_not_called_wrong(name: str) -> None:
    report = compared(*PAIRS[name], gaussian(0, 32, 32))
    assert (report.verdict, report.blames) == ("agree", ()), str(report)


def test_batches_that_are_not_square() -> None:
    report = compared(
        lambda A: torch.linalg.svdvals(A)[:, 0].sum(),
        lambda A: jnp.linalg.svd(A, compute_uv=False)[:, 0].sum(),
        gaussian(0, 3, 40, 24) * np.array([1, 1e3, 1e-3])[:, None, None],
    )
    assert (report.verdict, report.blames) == ("agree", ()), str(report)


def test_complex_matrices_have_real_singular_values() -> None:
    report = compared(
        lambda A: torch.linalg.svdvals(torch.complex(A[0], A[1]))[0],
        lambda A: jnp.linalg.svd(A[0] + 1j * A[1], compute_uv=False)[0],
        gaussian(0, 2, 8, 8),
    )
    assert (report.verdict, report.blames, report.notes) == ("agree", (), ()), str(report)


def test_elimination_errs_by_columns() -> None:
    A = gaussian(3, 8, 8) * np.logspace(-6, 6, 8)
    report = compared(*PAIRS["logdet"], A)
    assert report.verdict == "agree", str(report)
    report = spoilt("logdet", lambda g: 1.01 * g, A)
    assert report.verdict == "disagree", str(report)


def test_equal_rows_do_not_err_equally() -> None:
    """Reruns that were singular as exactly had no noise, and float32's own errors were called wrong."""
    A = gaussian(4, 6, 6)
    A[5] = A[4]
    report = compared(torch.linalg.det, jnp.linalg.det, A)
    assert report.verdict != "disagree", str(report)


def test_what_has_no_full_rank_keeps_its_rank() -> None:
    """Else a pseudoinverse would be as large as the noise is small, and any fault would pass."""
    A = gaussian(0, 8, 6)
    A[:, 5] = A[:, 4]
    pairs = (lambda A: (torch.linalg.pinv(A) ** 2).sum(), lambda A: (jnp.linalg.pinv(A) ** 2).sum())
    assert compared(*pairs, A).verdict == "agree"
    report = compared(lambda A: pairs[0](Spoilt.apply(A, lambda g: 1.01 * g)), pairs[1], A)
    assert report.verdict == "disagree", str(report)


def test_kernels_in_loops() -> None:
    def unrolled(A: Any) -> Any:
        X = torch.eye(8, dtype=A.dtype)
        for _ in range(5):
            X = torch.linalg.solve(A, X) + torch.eye(8, dtype=A.dtype)
        return X.square().sum()

    def scanned(A: Any) -> Any:
        unit = jnp.eye(8, dtype=A.dtype)
        X, _ = jax.lax.scan(lambda X, _: (jnp.linalg.solve(A, X) + unit, None), unit, None, length=5)
        return (X**2).sum()

    report = compared(unrolled, scanned, gaussian(1, 8, 8))
    assert (report.verdict, report.blames) == ("agree", ()), str(report)


@pytest.mark.parametrize("size", [8, 32])
def test_a_spectral_norms_gradient_off_by_little_is_found(size: int) -> None:
    report = spoilt("spectral-norm", lambda g: (1 + 1e-4) * g, separated(size))
    blamed = [blame.function for blame in report.blames]
    assert (report.verdict, blamed) == ("disagree", ["torch"]), str(report)


FAULTS: dict[str, tuple[str, Loss]] = {
    "half of it": ("logdet", lambda g: g / 2),
    "transposed": ("inverse", lambda g: g.T),
    "norm, transposed": ("nuclear-norm", lambda g: g.T),
    "a thousandth": ("eigenvalues", lambda g: 1.001 * g),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found(fault: str) -> None:
    report = spoilt(*FAULTS[fault], gaussian(1, 16, 16))
    blamed = [blame.function for blame in report.blames]
    assert (report.verdict, blamed) == ("disagree", ["torch"]), str(report)


def by_hand(A: Any, factor: float = 1.0) -> Any:
    left, values, right = np.linalg.svd(A)
    return values[0], factor * np.outer(left[:, 0], right[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_of_numpy(dtype: str) -> None:
    theirs, A = crossgrad.loss(PAIRS["spectral-norm"][0], "torch"), separated(24)

    def verdict(factor: float) -> str:
        ours = crossgrad.gradient(lambda A: by_hand(A, factor), "numpy")
        return str(crossgrad.compare_gradients(ours, theirs, args=(A,), dtype=dtype).verdict)

    assert (verdict(1.0), verdict(1.0001)) == ("agree", "disagree")

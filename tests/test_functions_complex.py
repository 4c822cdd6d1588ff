"""Complex numbers on the way: Fourier transforms and products, in which real and imaginary parts mix."""

from typing import Any

import numpy as np
import pytest

import crossgrad

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

POINTS = 128
WAVES = np.fft.fftfreq(POINTS, 1 / POINTS)
AT = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
TURNS = 10


def compared(theirs: Any, ours: Any, *args: Any) -> Any:
    both = crossgrad.loss(theirs, "torch", "torch"), crossgrad.loss(ours, "jax", "jax")
    return crossgrad.compare_gradients(*both, args=args, dtype="float32")


def slopes_of_torch(x: Any) -> Any:
    slope = torch.fft.ifft(torch.fft.fft(x) * (1j * torch.as_tensor(WAVES, dtype=x.dtype))).real
    return (slope**2).mean() + (x**3).mean()


def slopes_of_jax(x: Any, factor: float = 1.0) -> Any:
    waves = factor * jax.numpy.asarray(WAVES, x.dtype)
    return (jax.numpy.fft.ifft(jax.numpy.fft.fft(x) * (1j * waves)).real ** 2).mean() + (x**3).mean()


def test_a_slope_by_fourier_transforms_is_as_exact_as_these_are() -> None:
    """High waves of a smooth function are nothing but roundings, and multiplied by the most."""
    wave = np.sin(AT) + np.random.default_rng(5).normal() * np.cos(2 * AT) + 1
    report = compared(slopes_of_torch, slopes_of_jax, wave)
    assert (report.verdict, report.blames) == ("agree", ()), str(report)


def test_what_is_a_little_wrong_in_a_transform_is_found() -> None:
    wave = np.random.default_rng(0).normal(size=POINTS)
    report = compared(slopes_of_torch, lambda x: slopes_of_jax(x, 1 + 1e-5), wave)
    assert report.verdict == "disagree", str(report)


def test_complex_states_of_loops_are_rounded() -> None:
    draw = np.random.default_rng(0)

    def turned(w: Any, z: Any) -> Any:
        return z * (0.99 * w + 0.1j)

    def unrolled(w: Any, x: Any) -> Any:
        z = torch.complex(x, 0 * x)
        for _ in range(TURNS):
            z = turned(w, z)
        return z.abs().square().mean()

    def scanned(w: Any, x: Any) -> Any:
        z, _ = jax.lax.scan(lambda z, _: (turned(w, z), None), x + 0j, None, length=TURNS)
        return (jax.numpy.abs(z) ** 2).mean()

    report = compared(unrolled, scanned, draw.uniform(0.8, 1.1, size=5), draw.normal(size=(7, 5)))
    assert (report.verdict, report.blames) == ("agree", ()), str(report)


ALONE: dict[str, Any] = {
    "one number": lambda w, x: torch.vdot(torch.complex(w, x), torch.complex(w, x)).real,
    "a conjugate's part": lambda w, x: -(torch.complex(w, x).conj().imag * x).sum() + (w * w).sum(),
}


@pytest.mark.parametrize("name", ALONE)
def test_operations_are_seen(name: str) -> None:
    real = crossgrad.loss(lambda w, x: (w * w + x * x).sum(), "torch", "real")
    args = tuple(np.random.default_rng(0).normal(size=(2, 8)))
    report = crossgrad.compare_gradients(
        crossgrad.loss(ALONE[name], "torch", "complex"), real, args=args, dtype="float32"
    )
    assert (report.verdict, report.notes) == ("agree", ()), str(report)


def test_sums_over_indices_err_as_their_parts_do() -> None:
    """Of equal terms, each of which is rounded the same way."""
    count = 4000

    def of_torch(x: Any) -> Any:
        z = torch.complex(x, x)
        found = torch.zeros(3, dtype=z.dtype).index_add(0, torch.zeros(count, dtype=torch.int64), z)
        return found.real.sum() + torch.cumsum(z, 0)[-1].imag

    def of_jax(x: Any) -> Any:
        z = x + 1j * x
        found = jax.numpy.zeros(3, z.dtype).at[jax.numpy.zeros(count, int)].add(z)
        return found.real.sum() + jax.numpy.cumsum(z)[-1].imag

    report = compared(of_torch, of_jax, np.full(count, 0.1))
    assert (report.verdict, report.blames) == ("agree", ()), str(report)

"""What must be done for a case, whoever does it: floating-point operations, and bytes moved.

Elementwise work is not counted: next to the products it is small, and hidden
behind them at best.
"""

from dataclasses import dataclass

from .dtypes import find_dtype
from .spec import Network


@dataclass(frozen=True)
class Work:
    """Floating-point operations, and bytes that cross the memory's border."""

    flops: int
    bytes: int


def forward_work(network: Network, batch_size: int, dtype: str) -> Work:
    """The forward products, ``z (B, O) = a_prev (B, I) @ W.T``."""
    return _total(_forward_products(network, batch_size), dtype)


def step_work(network: Network, batch_size: int, dtype: str) -> Work:
    """The forward products, ``dW (O, I) = dz.T @ a_prev``, and ``da_prev = dz @ W`` above the first layer."""
    backward = [(o, batch_size, i) for o, i in network.shapes]
    backward += [(batch_size, o, i) for o, i in network.shapes[1:]]
    return _total([*_forward_products(network, batch_size), *backward], dtype)


def update_work(network: Network, dtype: str) -> Work:
    """``p - lr * dp``: a product and a difference; two numbers are read and one is written."""
    count = network.parameter_count
    return Work(2 * count, 3 * count * _size(dtype))


def transfer_work(network: Network, batch_size: int, dtype: str) -> Work:
    """Parameters and batch, each number read once and written once."""
    count = network.parameter_count + batch_size * (network.inputs + network.widths[-1])
    return Work(0, 2 * count * _size(dtype))


def _forward_products(network: Network, batch_size: int) -> list[tuple[int, int, int]]:
    return [(batch_size, i, o) for o, i in network.shapes]


def _total(products: list[tuple[int, int, int]], dtype: str) -> Work:
    """Products ``(m, k) @ (k, n)``: 2 m k n operations each; the operands are read, the result is written."""
    return Work(
        flops=sum(2 * m * k * n for m, k, n in products),
        bytes=_size(dtype) * sum(m * k + k * n + m * n for m, k, n in products),
    )


def _size(dtype: str) -> int:
    return int(find_dtype(dtype).storage.itemsize)

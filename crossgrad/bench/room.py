"""What a benchmark holds in memory at once: every engine keeps its program until all are timed."""

from math import prod

from ..networks.dtypes import find_dtype
from ..networks.memory import ALWAYS_THERE, WIDE_ORACLE, gib, require_available
from ..networks.spec import Network
from ..words import counted
from .gate import has_wide_oracle

EACH = 3
"""Times a step's quantities that an engine on the CPU holds with the case and its bare products, about.

Rather too low than too high: where memory runs out, the system ends an engine, which costs its rows.
"""


def held_bytes(network: Network, batch_size: int, dtype: str, on_cpu: int, on_device: int = 0) -> int:
    """About the memory that is held when all engines have the network.

    The case and its oracle, whose updated parameters are computed as they are read; what each engine
    holds, beside a device's memory nothing but the case; and one copy of a step's quantities, on their way
    to the judge.

    Parameters
    ----------
    on_cpu, on_device
        How many engines are timed there.
    """
    size = int(find_dtype(dtype).storage.itemsize)
    given = network.parameter_count + batch_size * (network.inputs + network.widths[-1])
    quantities = sum(prod(quantity.shape) for quantity in network.quantities(batch_size))
    oracle = 2 * 8 * (quantities - network.parameter_count)
    if has_wide_oracle(network, batch_size, dtype):
        oracle += WIDE_ORACLE * quantities
    return oracle + size * ((1 + on_device) * given + (EACH * on_cpu + 1) * quantities)


def require_room(network: Network, batch_size: int, dtype: str) -> None:
    """Raise `InvalidInput` with the estimate if not even one engine on the CPU can hold the network."""
    needed = held_bytes(network, batch_size, dtype, on_cpu=1)
    require_available(needed, network, batch_size, dtype, engines=1)


def lack_of_room(needed: int, available: int | None, engines: int) -> str | None:
    """What is to be said of the last of so many engines where they do not fit together; None if they do.

    Parameters
    ----------
    needed
        As `held_bytes` has it.
    available
        As `Lanes` has it.
    """
    if available is None or needed <= max(available, ALWAYS_THERE):
        return None
    what = f"{counted(engines, 'engine')} would hold about {gib(needed)}, and {gib(available)} were available"
    return what if engines == 1 else f"{what}: measure fewer together"

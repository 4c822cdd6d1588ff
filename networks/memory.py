"""Would it fit? Said from the shapes alone, before anything is allocated."""

import os
from math import prod
from pathlib import Path

from .dtypes import find_dtype
from .errors import InvalidInput, shortened
from .spec import Network, require_count

CGROUP = Path("/sys/fs/cgroup")
"""Of the container that this process is in (control groups, version 2), where it is in one."""

ALWAYS_THERE = 2**26
"""Bytes that are not asked for: the frameworks take more themselves, and asking is slow."""

WIDE_ORACLE = 32 + 40
"""Bytes that an oracle wider than float64 takes for each element of a quantity: three arrays, the floor
joined with their error, and the pairs and slices that it works on."""


def estimated_bytes(network: Network, batch_size: int, dtype: str, traces: int) -> int:
    """Bytes that a check of `traces` engines keeps alive at its peak, the comparison.

    By then there are the case's parameters and batch, up to three float64 copies
    of them, every quantity and its rounding floor in float64, and of each engine
    in its dtype and in float64; judging a tensor takes six more of its size. A
    float64 case has a wider oracle, `WIDE_ORACLE`.
    """
    item = int(find_dtype(dtype).storage.itemsize)
    given = network.parameter_count + batch_size * (network.inputs + network.widths[-1])
    sizes = [prod(quantity.shape) for quantity in network.quantities(batch_size)]
    oracle = 16 + (WIDE_ORACLE if dtype == "float64" else 0)
    return (item + 3 * 8) * given + (oracle + traces * (item + 8)) * sum(sizes) + 6 * 8 * max(sizes)


def available_bytes() -> int | None:
    """Memory that this process can still have, or None where the system does not say."""
    candidates = [_meminfo_available(), _cgroup_available()]
    known = [value for value in candidates if value is not None]
    if known:
        return min(known)
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def require_memory(network: Network, batch_size: int, dtype: str, traces: int) -> None:
    """Raise `InvalidInput` with the estimate if the case cannot fit into this machine's memory."""
    batch_size = require_count("the batch size", batch_size)
    needed = estimated_bytes(network, batch_size, dtype, traces)
    require_available(needed, network, batch_size, dtype, engines=traces)


def require_available(needed: int, network: Network, batch_size: int, dtype: str, engines: int) -> None:
    """Raise `InvalidInput` if this machine has less memory than engines need for a network."""
    if needed <= ALWAYS_THERE:
        return
    available = available_bytes()
    if available is not None and needed > available:
        less = ", a smaller batch or fewer engines" if engines > 1 else " or a smaller batch"
        raise InvalidInput(
            f"network {shortened(network)} with {network.parameter_count:,} parameters "
            f"at batch {batch_size} in {dtype} needs about {gib(needed)} "
            f"for {engines} engine{'s' if engines > 1 else ''}, and {gib(available)} are available: "
            f"use a narrower network{less}"
        )


def _meminfo_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None


def _cgroup_available() -> int | None:
    """What a container may still take: pages of files are given back first, in use or not."""
    try:
        limit, used = ((CGROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
        lines = (CGROUP / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    if not limit.isdigit():
        return None
    held = dict(line.split(" ", 1) for line in lines if " " in line)
    given_back = sum(int(held.get(name, 0)) for name in ("inactive_file", "active_file", "slab_reclaimable"))
    return max(0, int(limit) - int(used) + given_back)


def gib(size: int) -> str:
    """Bytes in words."""
    return f"{size / 2**30:,.1f} GiB"

"""Large gradients are written where the last ones were: fresh memory costs a page fault for each page."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from crossgrad.bench.lanes import Contender, Lanes
from crossgrad.workers.limits import Limits

from .conftest import engine_grid, load_or_skip, make_case

WARM_UP, STEPS = 20, 7
WIDTH = 3000
"""Enough for glibc to map an array of its square anew each time, if it is let."""

HELD = [("numpy", "manual"), ("torch", "eager"), ("jax", "jit")]

COUNTED = f"""
import json, resource, statistics
from crossgrad.backends.registry import load
from crossgrad.networks.catalogue import build_case, find_entry

backend = load({{backend!r}})
case = build_case(find_entry({{network!r}}), dtype="float32", batch_size={{batch_size}})
backend.settle(case)
program = backend.prepare(case, {{variant!r}}, "cpu")
values = program.put(case.parameters, case.batch)

def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    program.step(values)
    program.synchronize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults = [step() for _ in range({WARM_UP + STEPS})][{WARM_UP}:]
print(json.dumps({{{{"faults": statistics.median(faults), "page": resource.getpagesize()}}}}))
"""


def bytes_of_fresh_pages(backend: str, variant: str, network: str, batch_size: int) -> float:
    """Of the median step, once the heap has grown: now and then one finds a small block in its gap."""
    load_or_skip(backend)
    code = COUNTED.format(backend=backend, variant=variant, network=network, batch_size=batch_size)
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    found = json.loads(told)
    return float(found["faults"] * found["page"])


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults of Linux, of its C library")
@engine_grid(HELD, ["cpu"])
def test_large_gradients_take_no_fresh_memory(backend: str, variant: str, device: str) -> None:
    assert bytes_of_fresh_pages(backend, variant, f"{WIDTH}-{WIDTH}", 1) < 0.05 * WIDTH * WIDTH * 4


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults of Linux, of its C library")
@engine_grid([held for held in HELD if held[0] != "jax"], ["cpu"])
def test_outputs_of_a_large_batch_take_no_fresh_memory(backend: str, variant: str, device: str) -> None:
    """But JAX's: XLA takes memory of its own for what lies between."""
    assert bytes_of_fresh_pages(backend, variant, f"8-{WIDTH}", WIDTH) < 0.05 * WIDTH * WIDTH * 4


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_check_freed_is_given_back() -> None:
    """A held engine keeps little more than its parameters and gradients: the others are checked beside it."""
    load_or_skip("torch")
    case = make_case(f"{WIDTH}-{WIDTH}", "float32", batch_size=1)
    with Lanes(["torch"], ["cpu"], Limits()) as lanes:
        engine = lanes.engines[0]
        before = resident(engine)
        lanes.hold(engine, case, products=False)
        assert resident(engine) - before < 5 * WIDTH * WIDTH * 4


def resident(engine: Contender) -> int:
    """Bytes that the engine's process holds."""
    pid = engine.lane.places[0].worker.pid
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()

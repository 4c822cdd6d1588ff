"""One subject of ``benchmarks/cores.py`` in a process of its own: JSON lines in, JSON lines out.

    python -m peers.raw.subject SUBJECT NETWORK BATCH DTYPE DEVICE

It says what it holds when it is ready. ``{"calls": n}`` runs one call that is not timed and
then n that are, and answers ``{"seconds": s}`` for all of them; ``{"memory": true}`` answers
with the bytes that the process held at most during a step, the parameters and the batch
with them, beyond what it held when the framework had run a small step of its own: on the
CPU, for what a step takes of another device is not the process's.
"""

import gc
import json
import os
import sys
import time
from functools import partial
from importlib import import_module
from pathlib import Path

from crossgrad.backends.allocation import give_back_memory
from crossgrad.backends.registry import load
from crossgrad.checking import plan_case

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the device is other subjects' too

ENGINES = ("numpy", "torch", "torch:onednn", "jax")
"""In their default variants, and in the one whose products are of another library."""

RAW = {
    "raw numpy": "numpy_step",
    "raw torch": "torch_step",
    "raw jax": "jax_step",
    "products numpy": "numpy_products",
    "products torch": "torch_products",
    "products jax": "jax_products",
}
SUBJECTS = (*ENGINES, *RAW)


def subjects_on(device, dtype):
    """Those that can run there: NumPy knows the CPU alone, and oneDNN's variant is for float32 on it."""
    here = [name for name in SUBJECTS if device == "cpu" or ("numpy" not in name and "onednn" not in name)]
    return [name for name in here if dtype == "float32" or "onednn" not in name]


def build(name, case, device):
    """``(step, wait)`` of a subject on a case."""
    if name in RAW:
        return import_module(f".{RAW[name]}", __package__).build(case.parameters, *case.batch, device)
    framework, _, variant = name.partition(":")
    backend = load(framework)
    backend.settle(case)
    program = backend.prepare(case, variant or backend.variants[0], device)
    values = program.put(case.parameters, case.batch)
    return partial(program.step, values), program.synchronize


def memory_of(label):
    """A line of /proc/self/status in bytes, None where there is no such file."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(label):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def peak_of(step, wait):
    """Most bytes that the process held during a step, None where Linux is not there to say."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak until now
    except OSError:
        return None
    step()
    wait()
    return memory_of("VmHWM")


def seconds_of(step, wait, calls):
    step()
    wait()
    start = time.perf_counter()
    for _ in range(calls):
        step()
    wait()
    return time.perf_counter() - start


def main():
    name, network, batch_size, dtype, device = sys.argv[1:]
    small_step, small_wait = build(name, plan_case("64-64-64", dtype, batch_size=64), device)
    seconds_of(small_step, small_wait, 10)  # libraries load, thread pools start
    del small_step, small_wait
    gc.collect()
    give_back_memory()
    before = memory_of("VmRSS")
    step, wait = build(name, plan_case(network, dtype, batch_size=int(batch_size)), device)
    seconds_of(step, wait, 1)
    gc.collect()  # the case too, where the subject has copied it
    if name in ENGINES:
        load(name.partition(":")[0]).give_back()  # as a worker does that holds a case: part of the engine
    gc.disable()
    say({"ready": name})
    for line in sys.stdin:
        request = json.loads(line)
        if "calls" in request:
            say({"seconds": seconds_of(step, wait, request["calls"])})
        else:
            peak = peak_of(step, wait) if device == "cpu" else None
            say({"peak": None if peak is None or before is None else peak - before})


def say(answer):
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

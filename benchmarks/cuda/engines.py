#!/usr/bin/env python3
"""Prints ``-b NAME`` for each of the engines named that there is: variants come and go with versions.

    python benchmarks/cuda/engines.py torch torch:compile torch:cudagraph jax

A backend that cannot be loaded is printed too: crossgrad then says why.
"""

import sys

from crossgrad.backends.base import BackendUnavailable
from crossgrad.backends.registry import load


def is_there(engine: str) -> bool:
    name, _, variant = engine.partition(":")
    try:
        return not variant or variant in load(name).variants
    except BackendUnavailable:
        return False


if __name__ == "__main__":
    found = [engine for engine in sys.argv[1:] if is_there(engine)]
    left_out = [engine for engine in sys.argv[1:] if engine not in found]
    if left_out:
        print(f"not among the variants here: {', '.join(left_out)}", file=sys.stderr)
    print(" ".join(f"-b {engine}" for engine in found))

"""What this machine has, found out without importing a framework."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .backends.registry import Listing, hidden, listings
from .backends.variables import KERNEL_VARIABLES, THREAD_VARIABLES
from .versions import package_version

EXTRAS = {
    "digits": ("sklearn", "scikit-learn", "the digits network's data"),
    "bfloat16": ("ml_dtypes", "ml_dtypes", "dtype bfloat16"),
    "safetensors": ("safetensors", "safetensors", "parameter files"),
    "parquet": ("pyarrow", "pyarrow", "sweeps as Parquet files"),
    "plot": ("matplotlib", "matplotlib", "pictures of benchmarks"),
    "flax": ("flax", "flax", "models of Flax"),
    "equinox": ("equinox", "equinox", "models of Equinox"),
    "keras": ("keras", "keras", "models of Keras"),
    "onnx": ("onnx", "onnx", "models in ONNX files"),
}
"""By extra: the module it brings, its distribution, and what it is for."""


@dataclass(frozen=True)
class Finding:
    """One thing looked for: there or not, with its version, or why not and the way to get it."""

    name: str
    present: bool
    detail: str


def findings() -> Iterator[Finding]:
    """Look for Python, every engine, every optional package, CUDA devices and variables that engines obey."""
    yield Finding("python", True, f"{platform.python_version()} ({sys.executable})")
    yield Finding("crossgrad", True, str(package_version("crossgrad")))
    for listing in listings().values():
        yield _engine(listing)
    for listing in hidden():
        other = listings()[listing.name].distribution
        text = f"engine of {listing.distribution}, not run: {other} has one of this name, choose another"
        yield Finding(listing.name, False, text)
    for extra, (module, distribution, purpose) in EXTRAS.items():
        if find_spec(module) is not None:
            yield Finding(extra, True, f"{distribution} {package_version(distribution)}, for {purpose}")
        else:
            yield Finding(extra, False, f'not installed, for {purpose}: pip install "crossgrad[{extra}]"')
    yield _cuda()
    yield from _variables()


def _variables() -> Iterator[Finding]:
    """What is set in the environment by which engines compute otherwise, or at another speed."""
    others = ("XLA_FLAGS", "NVIDIA_TF32_OVERRIDE", "CUDA_VISIBLE_DEVICES")
    names = (*KERNEL_VARIABLES, *THREAD_VARIABLES, *others)
    found = " ".join(f"{name}={os.environ[name]}" for name in names if name in os.environ)
    if found:
        yield Finding("variables", True, f"{found}: engines obey these, in speed or in rounding")


def _engine(listing: Listing) -> Finding:
    role = "oracle" if listing.oracle else "engine"
    if listing.installed:
        version = package_version(listing.distribution)
        tried = "" if listing.built_in else f", of {listing.distribution}, not loaded yet: doctor --deep does"
        return Finding(listing.name, True, f"{role}, {version}{tried}")
    return Finding(
        listing.name, False, f"{role}, package {listing.requires} not installed: {listing.install}"
    )


def _cuda() -> Finding:
    """CUDA devices as the NVIDIA driver tells them: its files, or its own tool where they are not shown."""
    names = [_model(file) for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))]
    if not names:
        tool = shutil.which("nvidia-smi")
        if tool is None:
            return Finding("cuda", False, "no NVIDIA driver found: engines run on cpu")
        try:
            listed = subprocess.run(
                [tool, "--query-gpu=name", "--format=csv,noheader"],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return Finding("cuda", False, f"nvidia-smi is here but failed: {error}")
        names = [line.strip() for line in listed.stdout.splitlines() if line.strip()]
    if not names:
        return Finding("cuda", False, "the NVIDIA driver is here but shows no device")
    return Finding("cuda", True, "; ".join(names))


def _model(information: Path) -> str:
    for line in information.read_text().splitlines():
        if line.startswith("Model:"):
            return line.partition(":")[2].strip()
    return information.parent.name

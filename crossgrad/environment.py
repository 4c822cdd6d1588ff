"""Where a report was made: versions, processor, threads, devices, and settings that change results."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .backends.base import Backend, devices_of
from .backends.registry import find_listing, load
from .backends.variables import THREAD_VARIABLES
from .versions import package_version


def environment(backends: Mapping[str, Any]) -> dict[str, Any]:
    """Describe this machine and the backends that took part, each by name as `describe` does."""
    return {
        "crossgrad": package_version("crossgrad"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "thread_variables": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
        "backends": dict(backends),
    }


def version_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What two environments do not share of that by which results may differ: ``torch 2.13.0 and 2.11.0``."""
    left, right = _versions(one), _versions(other)
    return [
        f"{name} {left[name]} and {right[name]}" for name in left if left[name] != right.get(name, left[name])
    ]


def _versions(about: Mapping[str, Any]) -> dict[str, Any]:
    backends = about.get("backends", {}).items()
    versions = {name: told.get("version") for name, told in backends}
    devices = {f"{name} devices": told["device_names"] for name, told in backends if "device_names" in told}
    return {name: about.get(name) for name in ("crossgrad", "python", "cpu")} | versions | devices


def describe(backend: Backend) -> dict[str, Any]:
    """Version, devices and settings of a backend, as they are in the process that it runs in."""
    version = package_version(find_listing(backend.name).distribution)
    return {"version": version, "devices": list(devices_of(backend)), **_settings(backend)}


def described(*names: str) -> dict[str, Any]:
    """What `environment` wants of these backends, loaded into this process."""
    return {name: describe(load(name)) for name in names}


def _settings(backend: Backend) -> dict[str, Any]:
    """What the engine says of itself; if that fails, the report of its results must not be lost."""
    try:
        return backend.environment()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def usable_cores() -> int | None:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def cpu_name() -> str:
    """The processor's name as the system tells it; on Linux with its family and model, where it has them.

    Virtual machines call unlike processors by one name.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
    except OSError:
        lines = []
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    kind = ", ".join(
        f"{word} {told[key]}" for word, key in (("family", "cpu family"), ("model", "model")) if key in told
    )
    name = told.get("model name") or platform.processor() or platform.machine()
    return f"{name} ({kind})" if kind else name

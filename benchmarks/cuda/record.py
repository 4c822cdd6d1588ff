#!/usr/bin/env python3
"""Notes how a step of ``run_cuda.sh`` ended, and on which device its results were made.

    python benchmarks/cuda/record.py OUT STEP EXIT_CODE SECONDS

Writes ``OUT/summary.json``, which keeps what other parts left there, and puts
the devices' drivers and memory, which engines do not tell, beside each engine's settings in
``OUT/STEP.json``.
"""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

QUERY = ("name", "driver_version", "memory.total")


def main() -> None:
    out, step, code, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    devices, result = cuda_devices(), out / f"{step}.json"
    summary: dict[str, Any] = read(out / "summary.json") or {"steps": {}}
    entry: dict[str, Any] = {"exit": code, "seconds": round(seconds, 1), "devices": devices}
    if (out / f"{step}.xml").exists():
        entry |= counted(out / f"{step}.xml")
    if document := read(result):
        entry |= {"result": result.name} | {k: document[k] for k in ("verdict",) if k in document}
        name_devices(document, devices)
        write(result, document)
    summary["steps"][step] = entry
    write(out / "summary.json", summary)


def cuda_devices() -> list[str]:
    """Each device as ``NVIDIA H100 80GB HBM3, 580.159.04, 81559 MiB``."""
    command = ["nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        lines = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        return [line.strip() for line in lines.splitlines() if line.strip()]
    return []


def name_devices(document: dict[str, Any], devices: list[str]) -> None:
    """Into each backend's part of the environment: the published schemas leave room there."""
    for backend in document.get("environment", {}).get("backends", {}).values():
        backend["cuda_devices"] = devices


def counted(junit: Path) -> dict[str, Any]:
    """How many tests there were, and which failed."""
    with suppress(ElementTree.ParseError):
        cases = [(case, {child.tag for child in case}) for case in ElementTree.parse(junit).iter("testcase")]
        failed = [case for case, tags in cases if tags & {"failure", "error"}]
        return {
            "tests": len(cases),
            "skipped": sum("skipped" in tags for _, tags in cases),
            "failed": [f"{case.get('classname')}::{case.get('name')}" for case in failed],
        }
    return {}


def read(file: Path) -> Any:
    with suppress(OSError, ValueError):
        return json.loads(file.read_text())
    return None


def write(file: Path, document: Any) -> None:
    """Whole or not at all."""
    part = file.with_suffix(".part")
    part.write_text(json.dumps(document, indent=1) + "\n")
    part.replace(file)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes a folder for PYTHONPATH: what this Python lacks, from wheels, and crossgrad's metadata.

    python benchmarks/cuda/overlay.py TARGET [WHEELS]

A distribution that is there stays as it is, whatever version the wheel has: a
machine's own torch, jax and numpy were built for its devices. Nothing is
fetched, and nothing is written outside TARGET. The project itself runs from
its source; only the metadata that a build would leave is made here, so that
results name crossgrad's version.
"""

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main() -> None:
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    write_metadata(target)
    if len(sys.argv) < 3:
        return
    wheels = Path(sys.argv[2])
    names = sorted({wheel.name.partition("-")[0] for wheel in wheels.glob("*.whl")})
    if not names:
        sys.exit(f"{wheels}: no wheels there")
    missing = [name for name in names if lacks(name)]
    refused: list[str] = []
    if missing and not install(missing, wheels, target, quietly=True):
        refused = [name for name in missing if not install([name], wheels, target)]
    taken = [name for name in missing if name not in refused]
    print(f"{len(names)} wheels, of which this Python lacked {len(missing)}: {', '.join(taken) or 'none'}")
    if refused:
        print(f"not for this Python: {', '.join(refused)}")


def lacks(name: str) -> bool:
    """Whether neither a distribution nor a module of this name is here."""
    try:
        version(name)
    except PackageNotFoundError:
        return find_spec(name) is None
    return False


def install(names: list[str], wheels: Path, target: Path, quietly: bool = False) -> bool:
    """Unpack the newest wheel of each that goes with this Python; the user's pip settings do not count."""
    command = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "install"]
    options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--find-links", str(wheels)]
    silence = subprocess.DEVNULL if quietly else None
    return subprocess.call([*command, *options, "--target", str(target), *names], stderr=silence) == 0


def write_metadata(target: Path) -> None:
    """What `importlib.metadata` reads of crossgrad."""
    number = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    information = target / f"crossgrad-{number}.dist-info"
    information.mkdir(exist_ok=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: crossgrad\nVersion: {number}\n")


if __name__ == "__main__":
    main()

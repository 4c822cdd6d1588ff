"""Versions of installed packages, from their metadata: nothing is imported to learn them."""

from importlib.metadata import PackageNotFoundError, version


def package_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None

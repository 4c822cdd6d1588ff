"""Starting points for a user's own function, one a framework: text files, for ``crossgrad new-candidate``."""

from importlib.resources import files


def starter(backend: str) -> str:
    """The file that a user of ``numpy``, ``torch`` or ``jax`` begins with."""
    return files(__package__).joinpath(f"{backend}.py.txt").read_text(encoding="utf-8")

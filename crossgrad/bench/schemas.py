"""The published JSON Schemas of results and of a comparison of two, made from the models that hold them.

``python -m crossgrad.bench.schemas`` writes them anew; a test holds them against the models.
"""

from ..schemas import texts, write
from .compare import Comparison
from .results import Results

TITLES = {
    "bench": (Results, "What crossgrad bench found (crossgrad.bench/1)"),
    "bench-comparison": (
        Comparison,
        "What crossgrad bench --compare found of two results (crossgrad.bench-comparison/1)",
    ),
}


def published() -> dict[str, str]:
    """The text of each schema, by the name of its file."""
    return texts(TITLES)


if __name__ == "__main__":
    write(published())

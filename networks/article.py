"""The article's 1-1-1 network: its numbers, read from ``article.toml``, which says where each comes from."""

import tomllib
from functools import cache
from importlib.resources import files

import numpy as np

from .batches import Batch
from .errors import InvalidInput
from .parameters import DenseParameters, Parameters
from .spec import Network


@cache
def article_tables() -> dict[str, dict[str, str]]:
    """The fixture's tables ``given``, ``published``, ``mse`` and ``half-mse``: decimal strings by name."""
    return tomllib.loads(files(__package__).joinpath("article.toml").read_text(encoding="utf-8"))


def article_parameters(network: Network, seed: int) -> Parameters:
    """The article's weights and biases; they do not depend on the seed."""
    return tuple(
        DenseParameters(np.array([[_given(f"W.{n}")]]), np.array([_given(f"b.{n}")])) for n in (1, 2)
    )


def article_batch(network: Network, batch_size: int, seed: int) -> Batch:
    """The article's one sample."""
    if batch_size != 1:
        raise InvalidInput(
            f"batch size {batch_size}: the article's network comes with one sample; "
            "leave the batch size out, or name another network"
        )
    return Batch(np.array([[_given("x")]]), np.array([[_given("y")]]))


def _given(name: str) -> float:
    return float(article_tables()["given"][name])

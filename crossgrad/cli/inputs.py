"""What the commands' arguments stand for, where that takes more than a name."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ..networks.catalogue import find_entry
from ..networks.cost import require_affordable
from ..networks.errors import InvalidInput
from ..networks.parameter_files import load_parameters
from ..networks.parameters import Parameters


def default_networks(mnist: Path | None) -> tuple[list[str], tuple[str, ...]]:
    """The networks of a check that names none, and a note if one of them is left out."""
    if mnist is not None:
        return ["mnist-shape"], ()
    if find_spec("sklearn") is None:
        return ["article"], ('digits left out: its data come with pip install "crossgrad[digits]"',)
    return ["article", "digits"], ()


def parameters_from(
    path: Path | None, networks: Sequence[str], allow_large: bool = False
) -> Parameters | None:
    """Read the parameter file that goes with the one network of a command, if that is not too large."""
    if path is None:
        return None
    if len(networks) != 1:
        raise InvalidInput(f"--params {path} goes with one network, but {len(networks)} are to be run")
    network = find_entry(networks[0]).network
    require_affordable(network, 1, allow_large=allow_large)
    return load_parameters(path, network)

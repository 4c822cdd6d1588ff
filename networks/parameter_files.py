"""Parameters in safetensors files: ``W.1``, ``b.1``, ``W.2`` ... as tensors of the same names."""

from pathlib import Path

from .errors import InvalidInput, shortened
from .parameters import Parameters, as_parameters, by_name, check_parameters, from_names
from .pickles import PARAMETERS
from .spec import Network
from .tensor_files import load_tensors, save_tensors


def save_parameters(path: str | Path, parameters: Parameters) -> None:
    """Write `parameters` to a safetensors file, bit for bit (bfloat16 as float32, which holds it exactly).

    Raises
    ------
    InvalidInput
        If safetensors is not installed, these are no parameters, or the file cannot be written.
    """
    save_tensors(path, by_name(as_parameters(parameters)))


def load_parameters(path: str | Path, network: Network) -> Parameters:
    """Read the parameters of `network` from a safetensors file.

    Raises
    ------
    InvalidInput
        If safetensors is not installed, or the file is of a kind that may run
        code, missing, larger than these parameters can be, truncated,
        corrupted, names a tensor twice, or its tensors do not fit (each field listed).
    """
    if not isinstance(network, Network):
        raise InvalidInput(f"network is {shortened(repr(network))}: expected a crossgrad.Network")
    names = []
    for number, layer in enumerate(network.layers, start=1):
        names += [f"W.{number}"] + [f"b.{number}"] * layer.bias
    content = f"the parameters of network {network}"
    tensors = load_tensors(path, names, 8 * network.parameter_count, content, PARAMETERS)
    parameters = from_names(tensors, len(network.layers))
    check_parameters(network, parameters)
    return parameters

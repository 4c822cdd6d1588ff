"""Libraries that a model may come from: each is imported when it is asked for, or named with its command."""

from importlib import import_module
from importlib.util import find_spec

from ..networks.errors import InvalidInput

TITLES = {
    "torch": "PyTorch",
    "jax": "JAX",
    "flax": "Flax",
    "equinox": "Equinox",
    "keras": "Keras",
    "onnx": "ONNX",
}
"""By module and extra, which have one name."""


def require_library(name: str) -> None:
    """Import the library called `name`.

    Raises
    ------
    InvalidInput
        If it is not installed, with the command that brings it; or cannot be imported here.
    """
    if find_spec(name) is None:
        raise InvalidInput(
            f'models of {TITLES[name]} need the package {name}: pip install "crossgrad[{name}]"'
        )
    try:
        import_module(name)
    except ImportError as error:  # Keras without its backend, say
        way_out = ": set KERAS_BACKEND to torch or jax" if name == "keras" else ""
        raise InvalidInput(f"{name} is installed but cannot be imported: {error}{way_out}") from None

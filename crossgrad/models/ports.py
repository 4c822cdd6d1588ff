"""The public functions: models in, models out. Each library is imported when its function is called."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..networks.parameters import DenseParameters
from ..networks.spec import Network
from .libraries import require_library
from .model import Model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import jax
    import torch


def from_torch(module: "torch.nn.Module") -> Model:
    """Read a PyTorch module of ``nn.Linear`` and activations.

    ``nn.Sequential``, nested or not, is read as it stands. A class with a
    ``forward`` of its own is followed by torch.fx, and what was read is held
    to the module: on a drawn batch, in training and in evaluation, outputs and
    gradients must be the same bits. ``requires_grad`` is not read: every parameter's gradient is compared.

    Raises
    ------
    InvalidInput
        If PyTorch is missing; or the module holds anything that no
        specification says, named by its path: other modules, hooks, tied
        parameters, a layer without an activation, or a forward that cannot be followed.

    Examples
    --------
    >>> import torch, crossgrad
    >>> module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Sigmoid())
    >>> network, parameters = crossgrad.from_torch(module)
    >>> str(network)
    '3-2'
    """
    require_library("torch")
    from .torch_modules import read_module

    return read_module(module)


def from_flax(module: Any) -> Model:
    """Read a Flax module (``flax.nnx``), by tracing what it computes.

    ``nnx.Sequential`` and classes of your own are read alike; their kernels
    ``(I, O)`` become ``W (O, I)``.

    Raises
    ------
    InvalidInput
        If Flax is missing; or the module computes anything that no
        specification says, named by its path or its operation.
    """
    require_library("flax")
    from .flax_modules import read_module

    return read_module(module)


def from_equinox(module: Any) -> Model:
    """Read an Equinox module, by tracing what it computes for one sample.

    ``eqx.nn.Sequential``, ``eqx.nn.MLP`` and classes of your own are read alike.

    Raises
    ------
    InvalidInput
        If Equinox is missing; or the module computes anything that no
        specification says, named by its path or its operation.
    """
    require_library("equinox")
    from .equinox_modules import read_module

    return read_module(module)


def from_keras(model: Any) -> Model:
    """Read a Keras 3 model, sequential or functional, of ``Dense`` and ``Activation``.

    The kernels ``(I, O)`` become ``W (O, I)``; any backend of Keras will do.
    What is read is what the layers say: that Keras 3.15 multiplies float64 in
    float32 on PyTorch (keras-team/keras#23704) is for a check to find, and it does.
    On JAX it does not, but without JAX's x64 mode the numbers themselves are float32.

    Raises
    ------
    InvalidInput
        If Keras is missing; or the model holds anything that no
        specification says, named by its path: other layers, regularizers,
        constraints, mixed precision, quantization, shared layers; or float64 on JAX without x64 mode.
    """
    require_library("keras")
    from .keras_models import read_model

    return read_model(model)


def from_onnx(source: Any) -> Model:
    """Read an ONNX model of Gemm, or MatMul and Add, and activations.

    Parameters
    ----------
    source
        A file's path, or an ``onnx.ModelProto``. Tensors must be in the model
        itself: what it refers to in other files is not read. Nothing is executed.

    Raises
    ------
    InvalidInput
        If onnx is missing; the file is missing, too large, or no ONNX; or the
        graph holds anything that no specification says, named by its operator and node.
    """
    require_library("onnx")
    from .onnx_graphs import read_graph, read_proto

    return read_graph(read_proto(source) if isinstance(source, str | Path) else source)


def to_torch(
    network: Network, parameters: "Sequence[Any]", dtype: "str | torch.dtype | None" = None
) -> "torch.nn.Sequential":
    """Make a PyTorch module of `network`: ``nn.Linear``, activation, ``nn.Linear`` ...

    Parameters
    ----------
    parameters
        A pair ``(W (O, I), b (O,))`` a layer, b None without bias.
    dtype
        Default: the parameters' own, bit for bit. Another one rounds them to it.

    Raises
    ------
    InvalidInput
        If PyTorch is missing, or the parameters do not fit the network or the dtype.
    """
    require_library("torch")
    from .torch_writing import write_module

    return write_module(network, parameters, dtype)


def to_jax(
    network: Network, parameters: "Sequence[Any]", dtype: Any = None
) -> "tuple[Callable[[Any, jax.Array], jax.Array], tuple[DenseParameters, ...]]":
    """Make a pure function of `network` for JAX, and its parameters.

    Parameters
    ----------
    parameters
        A pair ``(W (O, I), b (O,))`` a layer, b None without bias.
    dtype
        Default: the parameters' own, bit for bit. Another one rounds them to it.

    Returns
    -------
    apply, params
        ``apply(params, x)`` is the output for ``x (B, I)`` or ``x (I,)``, and
        can be jitted, mapped and differentiated. `params` is a tree of JAX
        arrays, a `DenseParameters` ``(W (O, I), b (O,))`` a layer, which
        `crossgrad.check` takes back as it is.

    Raises
    ------
    InvalidInput
        If JAX is missing; the parameters do not fit the network or the dtype;
        or they are float64 and JAX's x64 mode is off, which would round them.
    """
    require_library("jax")
    from .jax_writing import write_function

    return write_function(network, parameters, dtype)

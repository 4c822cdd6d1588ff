"""Keras 3 models as steps: layer by layer, where the layers are known to make a chain."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from ..networks.dtypes import Array
from ..networks.errors import InvalidInput
from .model import Affine, Elementwise, Model, Step, model_of, refused

ACTIVATIONS = {
    "sigmoid": keras.activations.sigmoid,
}
"""What Keras calls each activation of `networks.rules`."""

BESIDE = (
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
)
"""What adds to the loss or changes the update, so that another step is taken than a specification's."""

IN_TRAINING = (
    *(
        keras.layers.Dropout,
        keras.layers.AlphaDropout,
        keras.layers.GaussianDropout,
        keras.layers.GaussianNoise,
    ),
    keras.layers.BatchNormalization,
)


def read_model(model: Any) -> Model:
    """The specification of a model; see `crossgrad.from_keras`."""
    if not isinstance(model, keras.Model):
        raise InvalidInput(f"the model is a {type(model).__name__}: expected a keras.Model of Keras 3")
    steps = list(_steps_of("", model))
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 2:
        raise refused(
            f"{model.name}: {type(model).__name__}", f"has inputs of the shapes {shapes}, not one (B, I)"
        )
    read = model_of(steps, _as_array)
    _require_wide_inputs(model, read)
    return read


def _steps_of(path: str, layer: Any) -> Iterator[Step]:
    path = f"{path}.{layer.name}" if path else layer.name
    where, kind = f"{path}: {type(layer).__name__}", type(layer)
    if "call" in vars(layer):
        raise refused(where, "has a call set on it")
    if isinstance(layer, keras.Model):
        for inner in _chain(where, layer):
            yield from _steps_of(path, inner)
    elif kind is keras.layers.Dense:
        _require_plain(where, layer)
        keys = tuple(id(variable) for variable in (layer.kernel, layer.bias) if variable is not None)
        yield Affine(where, layer.kernel, layer.bias, keys)
        yield from _activation(where, layer)
    elif kind is keras.layers.Activation:
        if layer.activity_regularizer is not None:
            raise refused(where, "has an activity_regularizer")
        yield from _activation(where, layer)
    elif kind not in (keras.layers.Identity, keras.layers.InputLayer):
        if isinstance(layer, IN_TRAINING):
            raise refused(where, "computes one thing in training and another in evaluation")
        raise refused(where, "is no part of a specification")


def _chain(where: str, model: Any) -> list[Any]:
    """The layers of a model in the order in which the data pass them."""
    if not model.built:
        raise InvalidInput(f"{where} has no numbers yet: call model.build((None, width)) first")
    if type(model) is keras.Sequential:
        return list(model.layers)
    if type(model).__name__ != "Functional" or not type(model).__module__.startswith("keras."):
        raise refused(where, "has a call of its own, which cannot be followed: make it a keras.Sequential")
    # operations are in the order of the data; that they are a chain is what their tensors say.
    here = model.inputs[0]
    for operation in model.operations[1:]:
        if operation.input is not here or len(model.inputs) != 1:
            raise refused(
                f"{where}: {operation.name}: {type(operation).__name__}",
                "is a model in a model, used elsewhere too, or where the way of the data branches",
            )
        here = operation.output
    if len(model.outputs) != 1 or model.outputs[0] is not here:
        raise refused(where, "returns something else than its last value")
    return list(model.operations)


def _activation(where: str, layer: Any) -> Iterator[Step]:
    for name, function in ACTIVATIONS.items():
        if layer.activation is function:
            yield Elementwise(where, name)
            return
    if layer.activation not in (None, keras.activations.linear):
        name = getattr(layer.activation, "__name__", type(layer.activation).__name__)
        raise refused(where, f"has the activation {name}")


def _require_plain(where: str, layer: Any) -> None:
    beside = [name for name in BESIDE if getattr(layer, name) is not None]
    if beside:
        raise refused(where, f"has a {beside[0]}")
    if layer.lora_enabled or layer.quantization_mode:
        raise refused(where, "is quantized or has LoRA")
    if layer.compute_dtype != layer.variable_dtype:
        raise refused(where, f"keeps {layer.variable_dtype} and computes in {layer.compute_dtype}")


def _require_wide_inputs(model: Any, read: Model) -> None:
    """Refuse an Input that x would be rounded to: ``keras.Input`` is float32 whatever its layers are."""
    kept = read.parameters[0].W.dtype
    for tensor in _inputs(model):
        if np.promote_types(tensor.dtype, kept) != np.dtype(tensor.dtype):
            raise InvalidInput(
                f"{model.name} rounds x to {tensor.dtype}, which its Input has, and computes in {kept}: "
                f'make it with keras.Input(..., dtype="{kept}")'
            )


def _inputs(model: Any) -> Iterator[Any]:
    yield from model.inputs
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _inputs(layer)


def _as_array(variable: Any) -> Array:
    """The same bits in NumPy, a kernel (I, O) turned to (O, I)."""
    if keras.backend.backend() == "torch":  # Keras's own way makes NumPy warn
        from ..natives.torch import stored

        array = stored(variable.value)
    else:
        array = np.asarray(keras.ops.convert_to_numpy(variable.value))
    if array.dtype.name != str(variable.dtype):
        raise InvalidInput(
            f"{variable.path} is {variable.dtype}, but Keras gives {array.dtype}: with JAX as its backend, "
            "call jax.config.update('jax_enable_x64', True) before the model is made"
        )
    return array.T

"""What a user's callable is: a loss to be differentiated, or a gradient; and of which framework."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..backends.base import device_name
from ..backends.registry import load
from ..candidates import BACKENDS as FRAMEWORKS
from ..networks.errors import InvalidInput, unknown

LOSS, GRADIENT = "loss", "gradient"


@dataclass(frozen=True)
class Function:
    """A callable and what it is; made by `loss` and `gradient`.

    Parameters
    ----------
    kind
        ``loss``, or ``gradient``.
    args
        Its own arguments, where it takes them in another structure or layout than the others.
    """

    call: Callable[..., Any]
    kind: str
    framework: str
    name: str
    device: str = "cpu"
    args: tuple[Any, ...] | None = None


def loss(
    f: Callable[..., Any],
    framework: str,
    name: str | None = None,
    *,
    device: str = "cpu",
    args: Sequence[Any] | None = None,
) -> Function:
    """Say that `f` computes a scalar loss, to be differentiated by its framework.

    Parameters
    ----------
    framework
        ``torch`` (autograd) or ``jax`` (grad).
    name
        In reports. Default: the framework's and the function's.
    device
        Where its arguments are put: ``cpu``, ``cuda``, ``cuda:1``.
    args
        Its arguments, where their structure differs from those of the comparison: a ported
        model's parameters, say. Their values must be the same.

    Raises
    ------
    InvalidInput
        If the framework is unknown or does not differentiate, or `f` is not callable.
    BackendUnavailable
        If the framework sees no such device.
    """
    found = _function(f, LOSS, framework, name, device, args)
    if framework == "numpy":
        raise InvalidInput(
            "numpy differentiates nothing: a NumPy function that returns gradients is "
            'crossgrad.gradient(f, "numpy")'
        )
    return found


def gradient(
    h: Callable[..., Any],
    framework: str,
    name: str | None = None,
    *,
    device: str = "cpu",
    args: Sequence[Any] | None = None,
) -> Function:
    """Say that `h` returns gradients, or a pair ``(loss, gradients)``.

    Gradients have the structure of the arguments that they belong to. In torch the
    arguments differentiated by arrive as leaves that require gradients.

    Parameters
    ----------
    framework
        ``numpy``, ``torch`` or ``jax``: whose arrays it takes.
    name, device, args
        As for `loss`.
    """
    return _function(h, GRADIENT, framework, name, device, args)


def _function(
    call: Any, kind: str, framework: str, name: str | None, device: str, args: Sequence[Any] | None
) -> Function:
    if framework not in FRAMEWORKS:
        raise unknown("framework", str(framework), FRAMEWORKS)
    if not callable(call):
        raise InvalidInput(f"{call!r} is no function: give the function itself, not what it returned")
    own = getattr(call, "__name__", type(call).__name__).strip("<>")
    place = device_name(device)
    if framework == "numpy" and place != "cpu":
        raise InvalidInput(f"device {device!r}: numpy runs on cpu only")
    if place != "cpu":
        load(framework).require_device(place)
    return Function(call, kind, framework, name or f"{framework}:{own}", place, _tuple(args))


def _tuple(args: Sequence[Any] | None) -> tuple[Any, ...] | None:
    if args is None:
        return None
    if not isinstance(args, list | tuple):
        raise InvalidInput(
            f"args is a {type(args).__name__}: expected a tuple of arguments, as in (params, x, y), or "
            "(params,) for one"
        )
    return tuple(args)

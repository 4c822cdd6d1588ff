"""A module with a forward of its own, followed by torch.fx: a chain, or refused.

fx runs forward once with a stand-in for x. What it does not see (a
``no_grad`` block, numbers changed on the way) is found by `torch_probe`.
"""

from collections.abc import Callable, Iterator

import torch
from torch import fx, nn

from ..networks.errors import InvalidInput, first_line
from .model import WAY_OUT, Affine, Elementwise, Step, refused
from .torch_rules import memory_of, rule_of_call

StepsOf = Callable[[str, nn.Module], Iterator[Step]]
"""``steps_of(path, module)``: what a module does, in order."""


def traced_steps(path: str, module: nn.Module, steps_of: StepsOf) -> Iterator[Step]:
    """The same from the graph that fx makes of its forward; `steps_of` is asked of the modules in it."""
    kind = type(module).__name__
    try:
        graph = fx.Tracer().trace(module)
    except Exception as error:  # forward is the user's code, run on a stand-in: it may raise anything
        told = first_line(error)
        raise InvalidInput(
            f"{_joined(path, kind)}: its forward cannot be followed ({type(error).__name__}: {told}): "
            f"write it as nn.Sequential; {WAY_OUT}"
        ) from None
    values = [node for node in graph.nodes if node.op not in ("get_attr", "output")]
    inputs = [node for node in values if node.op == "placeholder"]
    if len(inputs) != 1:
        raise refused(_joined(path, kind), f"takes {len(inputs)} arguments in its forward, and not x alone")
    here = inputs[0]
    for node in values[1:]:
        where = _joined(path, f"{kind}.forward: {_called(node)}")
        if here not in node.all_input_nodes:
            raise refused(where, "is no step from x on")
        if list(here.users) != [node]:
            raise refused(where, "makes the way of the data branch")
        if node.args[:1] != (here,):
            raise refused(where, "is no part of a specification")
        yield from _steps_at(path, where, module, node, steps_of)
        here = node
    (output,) = (node for node in graph.nodes if node.op == "output")
    if output.args != (here,) or list(here.users) != [output]:
        raise refused(_joined(path, f"{kind}.forward"), "returns something else than its last value")


def _steps_at(path: str, where: str, module: nn.Module, node: fx.Node, steps_of: StepsOf) -> Iterator[Step]:
    target = node.target
    if node.op == "call_module" and len(node.args) == 1 and not node.kwargs:
        yield from steps_of(_joined(path, str(target), "."), module.get_submodule(str(target)))
    elif target is nn.functional.linear:
        yield _functional_linear(where, module, node)
    elif len(node.args) == 1 and not node.kwargs and (rule := rule_of_call(target)) is not None:
        yield Elementwise(where, rule)
    else:
        raise refused(where, "is no part of a specification")


def _functional_linear(where: str, module: nn.Module, node: fx.Node) -> Affine:
    arguments = dict(zip(("input", "weight", "bias"), node.args, strict=False)) | dict(node.kwargs)
    W, b = (_parameter(where, module, arguments.get(name)) for name in ("weight", "bias"))
    if W is None:
        raise refused(where, "has no weight")
    return Affine(where, W, b, tuple(memory_of(p) for p in (W, b) if p is not None))


def _parameter(where: str, module: nn.Module, argument: object) -> torch.nn.Parameter | None:
    """The module's parameter that an argument is."""
    if argument is None:
        return None
    if isinstance(argument, fx.Node) and argument.op == "get_attr":
        found = dict(module.named_parameters(remove_duplicate=False)).get(str(argument.target))
        if found is not None:
            return found
    raise refused(where, "takes a weight or bias that is no parameter as it stands")


def _called(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target))


def _joined(path: str, name: str, by: str = ": ") -> str:
    return f"{path}{by}{name}" if path else name

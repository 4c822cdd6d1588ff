"""PyTorch modules as steps: containers whose forward is known, and the rest by a trace of it."""

from collections.abc import Iterator

import torch
from torch import nn

from ..natives.torch import stored
from ..networks.errors import InvalidInput
from .model import TAKEN, Affine, Elementwise, Model, Step, model_of, refused
from .torch_probe import require_same, snapshot
from .torch_rules import memory_of, rule_of_module

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
IN_TRAINING = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)


def read_module(module: object) -> Model:
    """The specification of a module; see `crossgrad.from_torch`."""
    if not isinstance(module, nn.Module):
        raise InvalidInput(f"the model is a {type(module).__name__}: expected a torch.nn.Module")
    before = snapshot(module)
    steps = list(steps_of("", module))
    model = model_of(steps, stored)
    for other_mode in (False, True):
        require_same(module, steps, before, other_mode)
    return model


def steps_of(path: str, module: nn.Module) -> Iterator[Step]:
    """What a module does, in order; `path` is its name in the whole."""
    where, rule = _where(path, module), rule_of_module(module)
    _require_plain(where, module)
    if type(module) is nn.Sequential:
        # Not named_children(), which leaves out what comes a second time.
        for name, child in module._modules.items():
            if child is not None:
                yield from steps_of(f"{path}.{name}" if path else name, child)
    elif type(module) is nn.Linear:
        keys = tuple(memory_of(p) for p in (module.weight, module.bias) if p is not None)
        yield Affine(where, module.weight, module.bias, keys)
    elif rule is not None:
        yield Elementwise(where, rule)
    elif type(module) is not nn.Identity:
        if isinstance(module, IN_TRAINING):
            raise refused(where, "computes one thing in training and another in evaluation")
        if type(module).__module__.partition(".")[0] == "torch":
            raise refused(where, "is no part of a specification")
        from .torch_traces import traced_steps

        yield from traced_steps(path, module, steps_of)


def _where(path: str, module: nn.Module) -> str:
    kind = type(module).__name__
    return f"{path}: {kind}" if path else kind


def _require_plain(where: str, module: nn.Module) -> None:
    """Refuse what changes a module's meaning from outside of its class, and parameters without numbers."""
    for name, parameter in module.named_parameters(recurse=False):
        if parameter.is_meta or nn.parameter.is_lazy(parameter):
            raise InvalidInput(f"{where}: {name} has no numbers yet: load or initialise the module first")
        kind = parameter.dtype if parameter.layout is torch.strided else parameter.layout
        if str(kind).removeprefix("torch.") not in TAKEN:
            raise InvalidInput(f"{where}: {name} is of {kind}: expected dense numbers of {', '.join(TAKEN)}")
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            raise refused(where, f"has a hook on its {name}, which may change the gradient")
    if any(getattr(module, hooks) for hooks in HOOKS) or "forward" in vars(module):
        raise refused(where, "has hooks, or a forward set on it")

"""What a JAX function computes, as steps: its jaxpr, followed from x to the output.

A jaxpr holds all of a function, each operation and each derivative rule of its
own, so that nothing is missed that grad would see: a stop_gradient, a
conversion, a value that is used twice. Whatever is not known here is refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
from jax.extend.core import Literal

from ..networks.errors import InvalidInput, first_line
from .jax_rules import rule_of_equation
from .model import WAY_OUT, Affine, Elementwise, Step, refused


@dataclass(frozen=True)
class _Flow:
    """The value on its way from x; `stage` counts the operations behind it."""

    stage: int


@dataclass(frozen=True)
class _Leaf:
    """A parameter, or one in another layout: a matrix ``turned``, or a row along the last axis."""

    index: int
    turned: bool = False


@dataclass(frozen=True)
class _Other:
    """Something that is neither: a constant, or what was computed of parameters."""

    what: str


_Thing = _Flow | _Leaf | _Other


def traced_steps(
    kind: str,
    function: Callable[[Sequence[Any], Any], Any],
    names: Sequence[str],
    leaves: Sequence[Any],
    batch: int,
) -> list[Step]:
    """The steps of ``function(leaves, x)``.

    Parameters
    ----------
    kind
        The model's type, for messages.
    names
        The paths of the parameters `leaves`.
    batch
        Samples in x, or 0 for a function of one sample.
    """
    failure: Exception | None = None
    for width in _possible_widths(leaves):
        shape = (batch, width) if batch else (width,)
        x = jax.ShapeDtypeStruct(shape, leaves[0].dtype)  # type: ignore[no-untyped-call]
        try:
            closed = jax.make_jaxpr(function)(list(leaves), x)
        except Exception as error:  # the function is the user's code: it may raise anything
            failure = failure or error
            continue
        return _Reader(kind, names, leaves).read(closed.jaxpr)
    told = first_line(failure)
    reason = (
        f"it takes no x of any width ({type(failure).__name__}: {told})" if failure else "it has no matrix"
    )
    raise InvalidInput(f"{kind} cannot be traced: {reason}; {WAY_OUT}")


def _possible_widths(leaves: Sequence[Any]) -> list[int]:
    """Widths that x may have: nothing else says it, and a wrong one fails in the first product."""
    return list(dict.fromkeys(size for leaf in leaves if leaf.ndim == 2 for size in leaf.shape))


class _Reader:
    """Follows one jaxpr; steps are added as they are met."""

    def __init__(self, kind: str, names: Sequence[str], leaves: Sequence[Any]) -> None:
        self._kind = kind
        self._names = names
        self._leaves = leaves
        self._steps: list[Step] = []
        self._stage = 0

    def read(self, jaxpr: Any) -> list[Step]:
        things: list[_Thing] = [_Leaf(index) for index in range(len(self._leaves))]
        outputs = self._run(jaxpr, [*things, _Flow(0)])
        if outputs != [_Flow(self._stage)]:
            raise refused(self._kind, "returns something else than its last value")
        return self._steps

    def _run(self, jaxpr: Any, arguments: Sequence[_Thing]) -> list[_Thing]:
        known: dict[Any, _Thing] = {var: _Other("a constant") for var in jaxpr.constvars}
        known |= dict(zip(jaxpr.invars, arguments, strict=True))

        def thing(atom: Any) -> _Thing:
            return _Other("a constant") if isinstance(atom, Literal) else known[atom]

        for equation in jaxpr.eqns:
            found = self._equation(jaxpr, equation, [thing(atom) for atom in equation.invars])
            known |= dict(zip(equation.outvars, found, strict=True))
        return [thing(atom) for atom in jaxpr.outvars]

    def _equation(self, jaxpr: Any, equation: Any, operands: list[_Thing]) -> list[_Thing]:
        flows = [operand for operand in operands if isinstance(operand, _Flow)]
        inner = equation.params.get("jaxpr") if equation.primitive.name in ("jit", "pjit") else None
        if not flows:
            if inner is not None and not inner.consts:
                return self._run(inner.jaxpr, operands)
            return [_layout(equation, operands)] * len(equation.outvars)
        if flows != [_Flow(self._stage)]:
            raise refused(self._where(equation), "makes the way of the data branch")
        if len(operands) == 1 and (rule := rule_of_equation(jaxpr, equation)) is not None:
            return self._next(Elementwise(self._where(equation), rule))
        if inner is not None and not inner.consts:
            return self._run(inner.jaxpr, operands)
        if equation.primitive.name == "dot_general":
            return self._product(equation, operands)
        if equation.primitive.name == "add":
            return self._sum(equation, operands)
        if _changes_nothing(equation):
            return [_Flow(self._stage)]
        raise refused(self._where(equation), "is no part of a specification")

    def _product(self, equation: Any, operands: list[_Thing]) -> list[_Thing]:
        """``x @ W`` with either layout of W, or ``W @ x`` of one sample."""
        matrix = next((operand for operand in operands if isinstance(operand, _Leaf)), None)
        if matrix is None:
            other = next(operand for operand in operands if isinstance(operand, _Other))
            raise refused(self._where(equation), f"multiplies with {other.what}")
        side, shape = operands.index(matrix), self._leaves[matrix.index].shape
        shapes = [atom.aval.shape for atom in equation.invars]
        contracted, batched = equation.params["dimension_numbers"]
        along = contracted[side]
        fits = (
            len(shape) == 2
            and shapes[side] == (shape[::-1] if matrix.turned else shape)
            and len(along) == 1
            and contracted[1 - side] == (len(shapes[1 - side]) - 1,)
            and not any(batched)
            and (side == 1 or len(shapes[1]) == 1)
            and equation.outvars[0].aval.dtype == equation.invars[1 - side].aval.dtype
        )
        if not fits:
            raise refused(self._where(equation), f"is another product than x @ W, of shapes {shapes}")
        W = replace(matrix, turned=matrix.turned ^ (along == (0,)))
        weights = self._leaves[W.index]
        return self._next(
            Affine(
                f"{self._names[W.index]} in {self._where(equation)}",
                weights.T if W.turned else weights,
                None,
                (W.index,),
            )
        )

    def _sum(self, equation: Any, operands: list[_Thing]) -> list[_Thing]:
        """``z + b`` behind the product of the same layer."""
        row = next(
            (operand for operand in operands if isinstance(operand, _Leaf) and not operand.turned), None
        )
        last = self._steps[-1] if self._steps else None
        if row is None or self._leaves[row.index].ndim != 1:
            raise refused(self._where(equation), "adds something else than a bias (O,)")
        if not isinstance(last, Affine) or last.b is not None:
            raise refused(
                f"{self._names[row.index]} in {self._where(equation)}", "is no bias of a dense layer"
            )
        self._steps.pop()
        bias = self._leaves[row.index]
        return self._next(replace(last, b=bias, keys=(*last.keys, row.index)))

    def _next(self, step: Step) -> list[_Thing]:
        self._steps.append(step)
        self._stage += 1
        return [_Flow(self._stage)]

    def _where(self, equation: Any) -> str:
        rule = equation.params.get("call_jaxpr")  # of a function with a derivative of its own
        name = getattr(getattr(rule, "debug_info", None), "func_name", None) or equation.params.get("name")
        return f"{self._kind}: {equation.primitive.name}" + (f" {name}" if isinstance(name, str) else "")


def _layout(equation: Any, operands: list[_Thing]) -> _Thing:
    """What an operation on no flow gives: the same parameter, if its layout alone is another."""
    made = _Other(f"the result of {equation.primitive.name}")
    if len(operands) != 1 or not isinstance(operands[0], _Leaf):
        return made
    before, after = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    leaf = operands[0]
    if _changes_nothing(equation):
        return leaf
    if equation.primitive.name == "transpose" and equation.params["permutation"] == (1, 0):
        return replace(leaf, turned=not leaf.turned)
    is_row = len(before) >= 1 and before[:-1] == (1,) * (len(before) - 1)
    if not is_row or not after or after[-1] != before[-1]:
        return made
    if equation.primitive.name == "reshape" and equation.params.get("dimensions") is None:
        return leaf  # as many elements, so that all other axes are 1
    if equation.primitive.name == "broadcast_in_dim":
        return leaf if equation.params["broadcast_dimensions"][-1:] == (len(after) - 1,) else made
    return made


def _changes_nothing(equation: Any) -> bool:
    """Whether an operation gives its operand back, converted or reshaped to what it is."""
    before, after = equation.invars[0].aval, equation.outvars[0].aval
    named = equation.primitive.name in ("convert_element_type", "copy", "reshape", "broadcast_in_dim")
    return named and len(equation.invars) == 1 and (before.shape, before.dtype) == (after.shape, after.dtype)

"""Where a fault is possible: conditions on a case, and on one layer of it."""

from ..networks.cases import Case
from .mutant import Applies, Where


def both(*conditions: Where) -> Where:
    """All `conditions` hold."""
    return lambda case, number: all(condition(case, number) for condition in conditions)


def shape(case: Case, number: int) -> tuple[int, int]:
    """``(O, I)`` of a layer."""
    return case.network.shapes[number - 1]


def depth(case: Case) -> int:
    return len(case.network.layers)


def square(case: Case, number: int) -> bool:
    """As many outputs as inputs, more than one: a transpose fits."""
    outputs, inputs = shape(case, number)
    return outputs == inputs > 1


def oblong(case: Case, number: int) -> bool:
    """Not square, and no vector: memory order matters and a transpose does not fit."""
    outputs, inputs = shape(case, number)
    return outputs != inputs and min(outputs, inputs) > 1


def above_first(case: Case, number: int) -> bool:
    return number > 1


def first(case: Case, number: int) -> bool:
    return number == 1


def last(case: Case, number: int) -> bool:
    return number == depth(case)


def with_bias(case: Case, number: int) -> bool:
    return case.network.layers[number - 1].bias


def sigmoid(case: Case, number: int) -> bool:
    return case.network.layers[number - 1].activation == "sigmoid"


def batch_is_outputs(case: Case, number: int) -> bool:
    """As many samples as units: a sum over the wrong axis fits."""
    return case.batch_size == shape(case, number)[0] > 1


def many_samples(case: Case, number: int) -> bool:
    return case.batch_size > 1


def outputs_over(count: int) -> Where:
    return lambda case, number: shape(case, number)[0] > count


def inputs_over(count: int) -> Where:
    return lambda case, number: shape(case, number)[1] > count


def samples_over(count: int) -> Applies:
    return lambda case: case.batch_size > count


def some_layer(where: Where) -> Applies:
    """Some layer meets `where`."""
    return lambda case: any(where(case, number) for number in range(1, depth(case) + 1))


def deeper_than(layers: int) -> Applies:
    return lambda case: depth(case) > layers

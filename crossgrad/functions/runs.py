"""Functions made to run at a point: in their own structure and framework, answered in the comparison's."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from ..backends.base import BackendUnavailable
from ..networks.dtypes import Array
from ..networks.errors import InvalidInput, first_line, shortened
from ..words import listed
from .arguments import LOSS_NAME, Arguments, Key, Values, holds_integers, is_float, read_arguments
from .function import LOSS, Function
from .matching import AUTO, Rename, Transpose, match
from .places import Place
from .points import Point
from .returned import described, in_lists, require_one
from .rounding import Counting, Rounding, TooMany
from .trees import take_apart
from .ways_out import way_out

FEW_OPERATIONS = 20_000
"""Of a rerun, up to which nobody asks how many there are without rounding errors."""

MOST_OPERATIONS = 1_000_000
"""As many are counted; of a function with more they are not seen, as a rerun would take a minute."""

MORE = 10
"""Times as many operations as there are without errors, from which on a rerun is given up."""


class FunctionFailed(RuntimeError):
    """A user's function raised; its own error is the cause."""


@dataclass(frozen=True)
class Outcome:
    """What a function returned: gradients by the comparison's names, and the loss if it gives one."""

    gradients: Mapping[str, Array]
    loss: Array | None

    @property
    def quantities(self) -> dict[str, Array]:
        return ({} if self.loss is None else {LOSS_NAME: self.loss}) | dict(self.gradients)

    @property
    def is_wide(self) -> bool:
        return all(array.dtype == np.float64 for array in self.gradients.values())


class Runner:
    """A function and where its leaves belong among those of the comparison.

    Raises
    ------
    InvalidInput
        If it takes arguments of its own that are not those of the comparison, as `match` finds.
    BackendUnavailable
        If its framework is not installed.
    """

    def __init__(
        self,
        function: Function,
        arguments: Arguments,
        rename: Rename,
        transpose: Transpose,
        dtype: str | None,
    ) -> None:
        self.function, self._arguments = function, arguments
        self._framework = _framework(function.framework)
        self._errstate = np.geterr()  # what functions do is the caller's; comparing switches it off
        self._rename, self._transpose = rename, transpose
        self._own = arguments
        self._places = {arguments.name(k): _itself(arguments, k) for k in arguments.differentiated}
        if function.args is not None:
            numbers: Any = arguments.argnums[0] if arguments.alone else arguments.argnums
            self._own = read_arguments(function.args, numbers, dtype)
            self._places = match(
                function.name, _named(self._own), _named(arguments), rename, transpose, same_values=True
            )
        self._names = {key: self._own.name(key) for key in self._own.differentiated}
        self._gradient_places: dict[str, Place] | None = None
        self._gradient_shapes: dict[str, tuple[int, ...]] = {}
        self._gives_loss = False
        self._most: int | None = None
        self._runnable = self._framework.Runnable(
            self._call, function.kind == LOSS, self._own.differentiated, function.device
        )

    @property
    def name(self) -> str:
        return self.function.name

    @property
    def guessed(self) -> str | None:
        """What ``rename="auto"`` took for what, in words, once run; None if it did not have to."""
        places = {**self._places, **(self._gradient_places or {})}
        pairs = [
            f"{name} for {place.name}{', its axes in another order' * place.turned}{place.doubt}"
            for name, place in places.items()
            if place.turned or name != place.name
        ]
        return f'{self.name}: rename="auto" took {listed(pairs)}' if self._rename == AUTO and pairs else None

    @property
    def names(self) -> tuple[str, ...]:
        """Its own leaves', and its gradients', once it has been run."""
        return (*self._places, *(self._gradient_places or ()))

    @property
    def draws(self) -> str | None:
        """The operation by which it is known to draw random numbers, once it has been rerun."""
        operation: str | None = self._runnable.draws
        return operation

    @property
    def lowered(self) -> str | None:
        """What its framework lowers other dtypes than float64 to, once it has been run in that."""
        found: str | None = getattr(self._runnable, "lowered", None)
        return found

    @property
    def is_watched(self) -> bool:
        """Whether its operations are shown at all."""
        return bool(self._runnable.is_watched)

    @property
    def is_seen(self) -> bool:
        """Whether all that it returned, when it was last rerun, had been rounded by its operations."""
        return bool(self._runnable.is_seen)

    def unstopped(self) -> "Runner | None":
        """The same, of which nothing stops the gradients; None if it gives them itself."""
        unstopped = getattr(self._framework, "unstopped", None)
        if unstopped is None or self.function.kind != LOSS:
            return None
        other = copy(self)

        def call(natives: Mapping[Key, Any]) -> Any:
            with unstopped():
                return self._call(natives)

        other._runnable = self._framework.Runnable(call, True, self._own.differentiated, self.function.device)
        return other

    def run(self, point: Point) -> Outcome:
        """Call the function and read what it returned.

        Raises
        ------
        InvalidInput
            If that is no gradient of these arguments; the message names the leaf and the way out.
        FunctionFailed
            If the function raised.
        """
        try:
            with np.errstate(**self._errstate):
                raw = self._run(point, point.noise())
        except InvalidInput as error:
            raise InvalidInput(f"{self.name}: {error}") from None
        except FunctionFailed:
            raise
        except TooMany as error:
            raise FunctionFailed(
                f"{self.name} did not end ({error}) with errors as large as those of "
                f"{self._arguments.format.name}: does it iterate until something stands still?"
            ) from error
        except Exception as error:
            hint = way_out(error, self.function.framework, self._arguments)
            raise FunctionFailed(f"{self.name} raised {type(error).__name__}: {error}{hint}") from error
        loss, gradients = self._read(raw)
        try:
            return self._placed(loss, gradients)
        except InvalidInput as error:
            fits = set(gradients) == set(self._places)
            to_numpy = self._framework.to_numpy
            found = described(raw, fits, self._asked, to_numpy) or in_lists(gradients, self._places, to_numpy)
            if self._gradient_places is not None or found is None:
                raise
            raise InvalidInput(f"{self.name}: {found} ({first_line(error)})") from None

    def _run(self, point: Point, noise: Rounding | None) -> Any:
        """Run, and give a rerun up that does not end, as one of what iterates until it stands still."""
        if noise is None:
            return self._run_once(point, None)
        noise.most = self._most or FEW_OPERATIONS
        try:
            return self._run_once(point, noise)
        except TooMany:
            if self._most is not None:
                raise
        counting = Counting(noise.dtype, 0)
        counting.most = MOST_OPERATIONS
        try:
            self._run_once(Point(self._arguments.in_float64, wide=True), counting)
        except TooMany as error:
            raise FunctionFailed(f"{self.name} takes {error}: too many to disturb each") from error
        self._most = max(FEW_OPERATIONS, MORE * counting.operations)
        return self._run(point, noise.again())

    def _run_once(self, point: Point, noise: Rounding | None) -> Any:
        dtype = self._arguments.format.name
        instead_of = dtype if point.wide and dtype != "float64" else None
        return self._runnable.run(self._values(point), noise, instead_of)

    @property
    def _asked(self) -> int | None:
        """As `described` takes it."""
        own = self._own
        if not own.alone:
            return len(own.argnums)
        return 0 if own.differentiated == ((own.argnums[0], ""),) else None

    def _call(self, natives: Mapping[Key, Any]) -> Any:
        returned = self.function.call(*self._own.built(natives))
        if self.function.kind == LOSS:
            require_one(returned)
        return returned

    def _values(self, point: Point) -> Values:
        """The point in the function's own structure."""
        if self._own is self._arguments:
            return point.values
        shared = {self._arguments.name(key): point.values[key] for key in self._arguments.differentiated}
        values: dict[Key, Array] = {}
        for key, value in self._own.values.items():
            if key in self._own.differentiated:
                place = self._places[self._own.name(key)]
                values[key] = place.back(shared[place.name])
            else:
                values[key] = _moved(value, point.wide, point.rounding)
        return values

    def _read(self, raw: Any) -> tuple[Any, dict[str, Any]]:
        """The loss, or None, and the gradients by the names of the function's own leaves."""
        if self.function.kind == LOSS:
            loss, found = raw
            return loss, {self._names[key]: value for key, value in found.items()}
        with_loss = isinstance(raw, tuple) and len(raw) == 2 and self._is_scalar(raw[0])
        if with_loss and self._gives_loss:
            return raw[0], self._gradient_leaves(raw[1])
        alone = self._gradient_leaves(raw)
        if with_loss and set(alone) != set(self._names.values()):
            return raw[0], self._gradient_leaves(raw[1])
        return None, alone

    def _gradient_leaves(self, tree: Any) -> dict[str, Any]:
        own = self._own
        if own.alone:
            return {own.name((own.argnums[0], path)): leaf for path, leaf in take_apart(tree).leaves.items()}
        if not isinstance(tree, tuple | list) or len(tree) != len(own.argnums):
            return {path or "what it returned": leaf for path, leaf in take_apart(tree).leaves.items()}
        return {
            own.name((n, path)): leaf
            for n, part in zip(own.argnums, tree, strict=True)
            for path, leaf in take_apart(part).leaves.items()
        }

    def _is_scalar(self, value: Any) -> bool:
        array = self._framework.to_numpy(value)
        return array is not None and array.size == 1

    def _placed(self, loss: Any, gradients: Mapping[str, Any]) -> Outcome:
        arrays = {name: self._array(name, value) for name, value in gradients.items()}
        if self._gradient_places is None:
            self._gradient_places, self._gives_loss = self._matched(arrays), loss is not None
            self._gradient_shapes = {name: array.shape for name, array in arrays.items()}
        self._require_as_before(arrays, loss is not None)
        places = self._gradient_places
        found = {(place := places[name]).name: place.there(array) for name, array in arrays.items()}
        return Outcome(found, None if loss is None else self._scalar(loss))

    def _require_as_before(self, arrays: Mapping[str, Array], gives_loss: bool) -> None:
        places = self._gradient_places or {}
        if arrays.keys() != places.keys() or gives_loss != self._gives_loss:
            first, then = (
                f"gradients of {listed(list(names))}{' and a loss' * with_loss}"
                for names, with_loss in ((places, self._gives_loss), (arrays, gives_loss))
            )
            raise InvalidInput(
                f"{self.name}: what it returns depends on the numbers: first {first}, then {then}"
            )
        for name, array in arrays.items():
            if array.shape != self._gradient_shapes[name]:
                raise InvalidInput(
                    f"{self.name}: the shape of its gradient at {name} depends on the numbers: "
                    f"first {self._gradient_shapes[name]}, then {array.shape}"
                )

    def _matched(self, arrays: Mapping[str, Array]) -> dict[str, Place]:
        """Where the gradients belong; those of the function's own leaves, where these do."""
        if set(arrays) == set(self._places):
            own = _named(self._own)
            for name, array in arrays.items():
                if array.shape != own[name].shape:
                    match(self.name, arrays, own, None, (), same_values=False)
            return self._places
        return match(
            self.name, arrays, _named(self._arguments), self._rename, self._transpose, same_values=False
        )

    def _array(self, name: str, value: Any) -> Array:
        if value is None:
            raise InvalidInput(
                f"{self.name}: no gradient reaches {name}: the loss does not depend on it, or by way of "
                ".detach() or .data only; take it out of the arguments, or out of argnums"
            )
        array: Array | None = self._framework.to_numpy(value)
        if array is None:
            what = f"{shortened(repr(value))}, a {type(value).__name__}"
            raise InvalidInput(f"{self.name}: its gradient at {name} is {what}: expected an array")
        if not is_float(array):
            raise InvalidInput(
                f"{self.name}: its gradient at {name} has dtype {array.dtype}: expected one of floats; "
                "an integer array that gradients were written into?"
            )
        return self._kept(array)

    def _kept(self, array: Array) -> Array:
        """What a function that gives gradients itself returned: it may write there again."""
        return array if self.function.kind == LOSS else np.array(array)

    def _scalar(self, loss: Any) -> Array:
        array = self._framework.to_numpy(loss)
        if array is None or array.size != 1:
            raise InvalidInput(f"{self.name}: its loss is {shortened(repr(loss))}: expected one number")
        if array.dtype.kind not in "fiub" and not is_float(array):
            raise InvalidInput(f"{self.name}: its loss is {array.dtype}: expected a real number")
        return self._kept(np.asarray(array)).reshape(())


def _framework(name: str) -> Any:
    try:
        return import_module(f".frameworks.{name}", __package__)
    except ModuleNotFoundError as error:
        raise BackendUnavailable(
            f'{name} is not installed ({error}): pip install "crossgrad[{name}]"'
        ) from error


def _named(arguments: Arguments) -> dict[str, Array]:
    return {arguments.name(key): arguments.values[key] for key in arguments.differentiated}


def _itself(arguments: Arguments, key: Key) -> Place:
    return Place(arguments.name(key), tuple(range(arguments.values[key].ndim)))


def _moved(value: Array, wide: bool, rounding: Rounding | None) -> Array:
    if not is_float(value) or not wide:
        return value
    widened = value.astype(np.float64)
    return widened if rounding is None or holds_integers(widened) else rounding.of_input(widened)

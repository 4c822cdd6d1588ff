"""Cases, runs and descriptions of engines as messages, and back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..backends.base import Trace
from ..engines import EngineId
from ..networks.batches import Batch
from ..networks.cases import Case
from ..networks.parameters import by_name, from_names
from ..networks.spec import Dense, Network
from ..run import OK, STATUSES, Run
from .arrays import laid_out, read_arrays, read_at, write_arrays
from .protocol import ProtocolError

Message = dict[str, Any]


@dataclass(frozen=True)
class Description:
    """What a worker found when it imported its engine, or why it could not.

    Parameters
    ----------
    environment
        Version, devices and settings, for the report.
    status, problem
        The status of every run of an engine that is not there, and the reason in words.
    stderr
        The last that the process wrote, if it ended.
    """

    variants: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    environment: Mapping[str, Any] | None = None
    seconds: float = 0.0
    status: str = OK
    problem: str | None = None
    stderr: str | None = None


def settled(engine: EngineId, found: Description) -> EngineId:
    """The engine, with the first variant and device that there are where it names none."""
    return EngineId(
        engine.backend,
        engine.variant or next(iter(found.variants), "default"),
        engine.device or next(iter(found.devices), "cpu"),
    )


@dataclass(frozen=True)
class PackedCase:
    """A case as it is written for a worker, numbers first and then their description.

    So messages to a worker stay short: a pipe that nobody reads takes 64 KiB.

    Parameters
    ----------
    place
        Where the description is: offset and size.
    """

    pieces: tuple[memoryview, ...]
    place: tuple[int, int]


def packed(case: Case) -> PackedCase:
    """A case to be written for any number of workers: views of its arrays, described once."""
    numbers = laid_out({"x": case.batch.x, "y": case.batch.y, **by_name(case.parameters)})
    description = json.dumps(
        {
            "name": case.name,
            "inputs": case.network.inputs,
            "layers": [vars(layer) for layer in case.network.layers],
            "loss": case.loss,
            "learning_rate": case.learning_rate,
            "seed": case.seed,
            "dtype": case.dtype,
            "arrays": numbers.layout,
        }
    ).encode()
    return PackedCase((*numbers.pieces, memoryview(description)), (numbers.size, len(description)))


def read_case(place: list[int], file: int) -> Case:
    """The case that was written, bit for bit."""
    message = json.loads(read_at(file, *place))
    arrays = read_arrays(file, message["arrays"])
    layers = tuple(Dense(**layer) for layer in message["layers"])
    return Case(
        name=message["name"],
        network=Network(message["inputs"], layers),
        parameters=from_names(arrays, len(layers)),
        batch=Batch(arrays["x"], arrays["y"]),
        loss=message["loss"],
        learning_rate=message["learning_rate"],
        seed=message["seed"],
        dtype=message["dtype"],
    )


def run_message(run: Run, file: int) -> Message:
    """Describe a run; what it delivered goes into `file`."""
    return {
        "status": run.status,
        "seconds": dict(run.seconds),
        "message": run.message,
        "partial": run.partial,
        "apart": sorted(run.apart),
        "arrays": None if run.trace is None else write_arrays(file, run.trace.quantities),
    }


def run_of(message: Message, engine: EngineId, file: int) -> Run:
    """The run that a worker reports.

    Raises
    ------
    ProtocolError
        If the message does not describe one.
    """
    try:
        status, seconds, text = message["status"], message["seconds"], message["message"]
        arrays, partial = message["arrays"], message["partial"]
        apart = frozenset(str(name) for name in message.get("apart", ()))
        if status not in STATUSES or not isinstance(text, str | None):
            raise ProtocolError(f"a run with status {status!r}")
        spent = {str(phase): float(value) for phase, value in seconds.items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ProtocolError(f"a run that makes no sense: {error!r}") from None
    trace = None if arrays is None else Trace(read_arrays(file, arrays))
    return Run(engine, status, spent, trace, text, bool(partial), apart=apart)


def description_of(message: Message) -> Description:
    """The description that a worker sends of its engine.

    Raises
    ------
    ProtocolError
        If the message does not hold one.
    """
    try:
        status, environment, problem = message["status"], message["environment"], message["problem"]
        if status not in STATUSES or not isinstance(problem, str | None):
            raise ProtocolError(f"a description with status {status!r}")
        return Description(
            variants=tuple(str(name) for name in message["variants"]),
            devices=tuple(str(name) for name in message["devices"]),
            environment=None if environment is None else dict(environment),
            seconds=float(message["seconds"]),
            status=status,
            problem=problem,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"a description that makes no sense: {error!r}") from None

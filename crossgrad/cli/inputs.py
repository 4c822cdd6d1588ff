"""What the commands' arguments stand for, where that takes more than a name."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..candidates import CandidateFile
from ..networks.batch_files import load_batch
from ..networks.batches import Batch
from ..networks.catalogue import find_entry
from ..networks.cost import require_affordable
from ..networks.errors import InvalidInput, shortened
from ..networks.files import is_there
from ..networks.memory import available_bytes, require_memory
from ..networks.parameter_files import load_parameters
from ..networks.parameters import Parameters
from ..workers.limits import LEAST_MEMORY, Limits

if TYPE_CHECKING:
    from ..networks.cases import Case

MOST_DIGITS = 12
SHARE_OF_MEMORY = 0.9
"""Of what is available when a command starts: what each engine's process may take."""

ALWAYS_ALLOWED = 2**29
"""Bytes that it may always try to take: a framework's import needs as much."""


def parameters_from(
    path: Path | None, networks: Sequence[str], allow_large: bool = False
) -> Parameters | None:
    """Read the parameter file that goes with the one network of a command, if that is not too large."""
    if path is None:
        return None
    if len(networks) != 1:
        raise InvalidInput(f"--params {path} goes with one network, but {len(networks)} are to be run")
    network = find_entry(networks[0]).network
    require_affordable(network, 1, allow_large=allow_large)
    return load_parameters(path, network)


def batch_from(path: Path | None) -> Batch | None:
    """Read the file with the data of a command."""
    if path is None:
        return None
    if str(path).isdecimal() and not is_there(path):
        raise InvalidInput(
            f"--batch {path}: expected a file with data; so many samples are --batch-size {path}"
        )
    return load_batch(path)


def files_read(
    networks: Sequence[str], candidates: Sequence[str], params: Path | None, batch: Path | None = None
) -> list[Path]:
    """The files that a command's arguments name, of which its output must be none."""
    specifications = [Path(text.strip()) for text in networks if text.strip().endswith(".toml")]
    functions = [CandidateFile.parse(text).file for text in candidates]
    return [*specifications, *functions, *(path for path in (params, batch) if path is not None)]


OF_A_CASE = (
    "networks",
    "network",
    "dtype",
    "loss",
    "batch_size",
    "learning_rate",
    "seed",
    "mnist",
    "params",
    "batch",
)
"""Parameters of commands that choose a case, as its id does."""


def cases_from(ids: Sequence[str], traces: int, allow_large: bool, given: Mapping[str, str]) -> list["Case"]:
    """The cases that a command names by their ids, which say all that other options could.

    Parameters
    ----------
    traces
        Engines that run each, for the estimate of its memory.
    given
        What the command line has, as `command.given` tells it.
    """
    from ..sweep.ids import CaseId

    if others := [shown for name, shown in given.items() if name in OF_A_CASE]:
        raise InvalidInput(f"--case {ids[0]} says all of the case: leave out {', '.join(others)}")
    found = [CaseId.parse(text) for text in dict.fromkeys(ids)]
    for case_id in found:
        require_affordable(case_id.network, case_id.batch, allow_large=allow_large)
        require_memory(case_id.network, case_id.batch, case_id.dtype, traces)
    return [case_id.case() for case_id in found]


def candidates_from(texts: Sequence[str] | None, backend: str | None) -> dict[str, CandidateFile]:
    """The candidates that a command names, by name; all take arrays of `backend`, by default NumPy's."""
    if backend is not None and not texts:
        raise InvalidInput(f"--candidate-backend {backend} goes with --candidate FILE.py: name the file too")
    found: dict[str, CandidateFile] = {}
    for candidate in map(CandidateFile.parse, texts or ()):
        if candidate.name in found:
            raise InvalidInput(
                f"two candidates are called {candidate.name!r}: "
                f"give one a name of its own, as in other={candidate.file.name}"
            )
        found[candidate.name] = replace(candidate, backend=backend or candidate.backend)
    return found


def limits_where(isolate: bool, timeout: float | None, memory_gib: float | None) -> Limits | None:
    """As `limits_from`, of a command that may run engines in its own process, where there are none."""
    if isolate:
        return limits_from(timeout, memory_gib)
    for option, value in {"--timeout": timeout, "--memory-limit": memory_gib}.items():
        if value is not None:
            raise InvalidInput(
                f"{option} {value:g} is for engines in processes of their own: leave out --no-isolate"
            )
    return None


def limits_from(timeout: float | None, memory_gib: float | None) -> Limits:
    """The limits of the engines' processes that a command's options stand for."""
    least = LEAST_MEMORY / 2**30
    if memory_gib is not None and not least <= memory_gib <= 2**30:
        raise InvalidInput(f"--memory-limit {memory_gib!r}: expected GiB from {least} to {2**30:,}")
    if memory_gib is not None:
        size = int(memory_gib * 2**30)
        return Limits(memory=size, device_memory=size).with_timeout(timeout)
    available = available_bytes()
    memory = None if available is None else max(int(SHARE_OF_MEMORY * available), ALWAYS_ALLOWED)
    return Limits(memory=memory).with_timeout(timeout)


def numbers_from(option: str, text: str | None) -> list[int]:
    """The whole numbers in ``"64,256,1024"``; none if the option was not given."""
    found = []
    for part in [] if text is None else text.split(","):
        digits = part.strip()
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= MOST_DIGITS and int(digits) > 0):
            raise InvalidInput(
                f"{option} {shortened(repr(text))}: expected whole numbers, as in 64,256,1024, "
                f"from 1 to {10**MOST_DIGITS - 1:,}"
            )
        found.append(int(digits))
    return list(dict.fromkeys(found))

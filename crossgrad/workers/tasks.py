"""What a process may be asked to do, and what its answer is taken for."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, ClassVar

from ..engines import EngineId
from ..networks.errors import shortened
from ..run import BROKEN, CRASHED, OK, Run
from .protocol import ProtocolError
from .wire import Message, PackedCase, run_of
from .worker import Ending, Worker

HELD = {"loss", "lacks", "copied_bytes", "products_failed", "parts"}
"""What is said of a case that is held, beside its run."""


class Ended(RuntimeError):
    """Something was not done: a status of a run, and the reason in words.

    Attributes
    ----------
    with_it
        Whether the process ended too, and what it held is gone.
    """

    def __init__(self, status: str, reason: str, with_it: bool = True) -> None:
        super().__init__(reason)
        self.status, self.with_it = status, with_it


class Task(ABC):
    """Something to do for an engine, of which variant and device may still be open.

    Attributes
    ----------
    ticket
        What an answer must name; the pool sets it.
    begun_again
        Whether a process died before it began with it: it is begun again once.
    """

    counts: ClassVar[bool] = True
    """Whether a process is replaced after so many of them."""

    def __init__(self, engine: EngineId) -> None:
        self.engine = engine
        self.ticket = 0
        self.begun_again = False
        self.future: Future[Any] = Future()

    @abstractmethod
    def hand_to(self, worker: Worker) -> None:
        """Ask a process to do it."""

    @abstractmethod
    def take(self, answer: Message, file: int) -> Any:
        """What the answer stands for; raise `ProtocolError` if it is none."""

    @abstractmethod
    def ended(self, ending: Ending, stderr: str | None) -> None:
        """Set the future: the process ended, or there is none."""

    def spoils(self, found: Any) -> bool:
        """Whether its process is to do nothing more after what was found."""
        return False


class CaseTask(Task):
    """Run a case; the future gives a `Run`."""

    def __init__(self, engine: EngineId, case: PackedCase, partial: bool) -> None:
        super().__init__(engine)
        self._case, self._partial = case, partial

    def hand_to(self, worker: Worker) -> None:
        worker.ask("run", self.ticket, self._case, variant=self.engine.variant, device=self.engine.device)

    def take(self, answer: Message, file: int) -> Run:
        if answer["is"] != "ran":
            raise ProtocolError(f"{answer['is']!r} where a run was expected")
        return run_of(answer, self.engine, file)

    def spoils(self, found: Any) -> bool:
        return self._spoilt_by(found)

    def _spoilt_by(self, run: Run) -> bool:
        """Some of CUDA's errors stay with the process, which fails at everything from then on."""
        return run.status in BROKEN and self.engine.device != "cpu"

    def ended(self, ending: Ending, stderr: str | None) -> None:
        self.future.set_result(self._run_of(ending, stderr))

    def _run_of(self, ending: Ending, stderr: str | None) -> Run:
        return Run(self.engine, ending.status, {}, None, ending.reason, self._partial, stderr=stderr or None)


class HoldTask(CaseTask):
    """Run a case and keep its program to be timed; the future gives a `Run` and the answer's ``found``."""

    counts = False

    def __init__(self, engine: EngineId, case: PackedCase, products: bool) -> None:
        super().__init__(engine, case, partial=False)
        self._products = products

    def hand_to(self, worker: Worker) -> None:
        where = {"variant": self.engine.variant, "device": self.engine.device}
        worker.ask("hold", self.ticket, self._case, products=self._products, **where)

    def take(self, answer: Message, file: int) -> Any:
        run, found = super().take(answer, file), answer["found"]
        lacking = run.status == OK and not (isinstance(found, dict) and found.keys() >= HELD)
        if lacking or not isinstance(found, dict) or not isinstance(found.get("parts", {}), dict):
            raise ProtocolError(f"what makes no sense of a case that it holds: {shortened(found)}")
        return run, found

    def spoils(self, found: Any) -> bool:
        return self._spoilt_by(found[0])

    def ended(self, ending: Ending, stderr: str | None) -> None:
        self.future.set_result((self._run_of(ending, stderr), {}))


class OrderTask(Task):
    """Anything short, said in words; the future gives the answer's ``found``, or raises `Ended`."""

    counts = False

    def __init__(self, engine: EngineId, do: str, words: Mapping[str, Any]) -> None:
        super().__init__(engine)
        self._do, self._words = do, words

    def hand_to(self, worker: Worker) -> None:
        worker.ask(self._do, self.ticket, **self._words)

    def take(self, answer: Message, file: int) -> Any:
        if answer["is"] == "gone":  # asked of the next process, which holds nothing
            raise Ended(CRASHED, "the process that held the case has ended")
        if answer["is"] == "failed":
            raise Ended(str(answer["status"]), str(answer["message"]), with_it=False)
        if answer["is"] != "found":
            raise ProtocolError(f"{answer['is']!r} where what was found was expected")
        return answer["found"]

    def ended(self, ending: Ending, stderr: str | None) -> None:
        self.future.set_exception(Ended(ending.status, ending.reason))


class AgainTask(OrderTask):
    """Run what was timed once more; the future gives a `Run` and its forward pass's loss.

    None for both if they are what was checked; it raises `Ended`.
    """

    def __init__(self, engine: EngineId) -> None:
        super().__init__(engine, "again", {})

    def take(self, answer: Message, file: int) -> Any:
        if answer["is"] == "ran":
            run, loss = run_of(answer, self.engine, file), answer["found"]
            if not isinstance(loss, float | int | None):
                raise ProtocolError(f"a loss that is no number: {shortened(loss)}")
            return run, loss
        return super().take(answer, file), None

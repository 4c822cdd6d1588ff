"""In an engine's process: the program of one case, kept to be timed, and what may be asked of it."""

import gc
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from ..backends.base import Backend, BackendUnavailable, Program, Timed, Trace, Unsupported
from ..engines import Engine, EngineId
from ..networks.cases import Case
from ..run import OK, Announce, Run, run_engine, status_of, summary_of
from .memory import peak_in

PRODUCTS = ("products forward", "products step", "copy")
"""What is timed of the matrix products alone, beside the phases of an engine."""

Call = Callable[[], object]


class Held:
    """One case's program with its values on the device, and the case's matrix products.

    Parameters
    ----------
    products
        Whether the products are wanted too.
    """

    def __init__(self, backend: Backend, engine: EngineId, products: bool, say: Announce) -> None:
        self._backend, self._engine, self._say = backend, engine, say
        self._program: Program | None = None
        self._calls: dict[str, tuple[Timed, Callable[[], Call]]] = {}
        self._with_products = products
        self._lacks: dict[str, str] = {}
        self._copied_bytes: int | None = None
        self._products_failed: str | None = None
        self._timed: Callable[[], tuple[dict[str, Any], float | None]] | None = None
        self._checked: dict[str, bytes] = {}

    def begin(self, case: Case) -> tuple[Run, dict[str, Any]]:
        """Compile, run and deliver what is to be checked: all that will be timed.

        Returns
        -------
        run
            Its trace has the gradients of `Program.step` and the parameters of `Program.update`.
        found
            ``loss``: of `Program.forward`, or None; ``parts`` of the compilation; ``lacks``: phases
            that there are not, and why; ``copied_bytes`` of the products, if they are there, and what
            is wrong with them, ``products_failed``, if they should be.
        """
        gc.unfreeze()  # the case that was held before
        gc.collect()
        run = run_engine(case, Engine(self._engine, self._backend), self._say, self._prepared)
        program = self._program
        if run.status != OK or program is None or run.trace is None:
            return run, {}
        try:
            forward_loss, updated = self._hold(program, case)
        except Exception as error:
            return replace(run, status=status_of(error), trace=None, message=summary_of(error)), {}
        trace = Trace({**run.trace.quantities, **updated})
        self._checked = _digests(trace.quantities, forward_loss)
        gc.collect()
        gc.freeze()  # or each turn would begin with a look through all that the framework made
        return replace(run, trace=trace), {
            "loss": forward_loss,
            "parts": dict(program.preparation),
            "lacks": self._lacks,
            "copied_bytes": self._copied_bytes,
            "products_failed": self._products_failed,
        }

    def seconds(self, what: str, calls: int) -> float:
        """Time so many calls of a phase or of the products, after one that is not timed.

        That one comes after the collection, which looks through the caches.
        """
        timed, made = self._calls[what]
        self._say("step")
        call = made()
        gc.collect()
        gc.disable()
        try:
            call()
            timed.synchronize()
            self._say("step")  # whose limit counts from here, too
            return timed.seconds(call, calls)
        finally:
            gc.enable()

    def again(self) -> tuple[Run, float | None] | None:
        """What was timed, once more: buffers that are used again may go wrong only after many calls.

        Returns
        -------
        run, loss
            As `begin` has them, with the quantities of what is timed alone; None if each of their
            bits is as it was.
        """
        self._say("step")
        assert self._timed is not None
        quantities, forward_loss = self._timed()
        found = _digests(quantities, forward_loss)
        if all(self._checked.get(name) == digest for name, digest in found.items()):
            return None
        return Run(self._engine, OK, {}, Trace(quantities), partial=True), forward_loss

    def memory(self) -> dict[str, int | None]:
        """Most memory during a step: of the process, and of the device beyond what it held before.

        The last that may be asked but `again`: transfers are let go of first, with the case, and the
        products, which only some engines hold. Where the program writes updated parameters stays.
        """
        self._say("step")
        self._release_all_but_the_step()
        program, made = self._calls["step"]
        step = made()
        return {"memory": _peak_of(step, program), "device_memory": program.device_peak(step)}

    def _prepared(self, backend: Backend, case: Case, variant: str, device: str) -> Program:
        self._program = backend.prepare(case, variant, device)
        return self._program

    def _hold(self, program: Program, case: Case) -> tuple[float | None, Mapping[str, Any]]:
        """Put the values, and run every phase once; return the forward pass's loss and the update."""
        values = program.put(case.parameters, case.batch)
        self._calls["transfer"] = (program, lambda: partial(program.put, case.parameters, case.batch))
        self._calls["step"] = (program, lambda: partial(program.step, values))
        loss = self._if_there("forward", lambda: float(program.loss(program.forward(values))))
        if loss is not None:
            self._calls["forward"] = (program, lambda: partial(program.forward, values))

        def update() -> Call:
            return partial(program.update, values, program.step(values))  # a result holds until the next step

        updated = self._if_there("update", lambda: program.updated(update()()))
        has_update = updated is not None  # which alone is kept: the arrays are memory
        if has_update:
            self._calls["update"] = (program, update)

        def timed() -> tuple[dict[str, Any], float | None]:
            found = dict(program.gradients(program.step(values)))
            forward = None if loss is None else float(program.loss(program.forward(values)))
            return found | (dict(program.updated(update()())) if has_update else {}), forward

        self._timed = timed
        if self._with_products:
            self._hold_products(case)
        return loss, updated or {}

    def _hold_products(self, case: Case) -> None:
        """Have the products, unless they fail: a yardstick costs the engine no row of its own."""
        try:
            products = self._backend.products(case, self._engine.device)
            self._copied_bytes = products.copied_bytes
        except (Unsupported, BackendUnavailable):
            return
        except Exception as error:
            self._products_failed = summary_of(error)
            return
        for what, call in zip(PRODUCTS, (products.forward, products.step, products.copy), strict=True):
            self._calls[what] = (products, partial(_given, call))

    def _release_all_but_the_step(self) -> None:
        """Let go of what a step does not need: it is no memory of the engine's."""
        for what in (*PRODUCTS, "transfer"):
            self._calls.pop(what, None)
        gc.unfreeze()
        gc.collect()
        self._backend.give_back()

    def _if_there(self, phase: str, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except (Unsupported, BackendUnavailable) as error:
            self._lacks[phase] = str(error)
            return None


def _given(call: Call) -> Call:
    return call


def _digests(quantities: Mapping[str, Any], forward_loss: float | None) -> dict[str, bytes]:
    """What tells whether quantities are the same to the last bit, without keeping them."""
    found = {**quantities, "forward": np.nan if forward_loss is None else forward_loss}
    return {
        name: blake2b(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data).digest()
        for name, value in found.items()
    }


def _peak_of(call: Callable[[], object], timed: Timed) -> int | None:
    """Most resident memory while `call` runs; only Linux can be asked to forget earlier peaks."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        call()
        timed.synchronize()
        return peak_in(Path("/proc/self/status").read_bytes())
    except OSError:
        return None

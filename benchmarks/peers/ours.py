"""crossgrad: every quantity before the oracle, with the rounding floor as the measure."""

from crossgrad.backends.base import Trace
from crossgrad.compare import compare_runs
from crossgrad.engines import EngineId
from crossgrad.networks.cases import Case
from crossgrad.oracle import consult
from crossgrad.run import OK, Run
from crossgrad.verdict import WRONG

from .checker import LOSS_AND_GRADIENTS, Accepts, Checker, Quantities


class Crossgrad(Checker):
    name = "crossgrad"
    package = "crossgrad"
    rule = "every quantity of the step against the oracle (auto), over the rounding floor"
    sees = frozenset({"z", "a", "loss", "da", "dz", "dW", "db", "W_new", "b_new", "loss_new"})
    names_engine = True
    names_place = True

    def prepare(self, case: Case, against: tuple[str, str]) -> Accepts:
        oracle = consult(case)

        def accepts(got: Quantities) -> bool:
            seen = {name: array for name, array in got.items() if name.partition(".")[0] in self.sees}
            run = Run(
                EngineId("run", "judged", "cpu"),
                OK,
                {},
                Trace(seen),
                partial=self.sees == LOSS_AND_GRADIENTS,
            )
            return not any(c.verdict in WRONG for c in compare_runs(case, [run], oracle))

        return accepts


class CrossgradOnGradients(Crossgrad):
    name = "crossgrad, gradients only"
    rule = "the same on what peers see: the loss, dW and db"
    sees = LOSS_AND_GRADIENTS

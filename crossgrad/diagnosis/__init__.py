"""Why a gradient is wrong: causes recognised in the numbers, said in words, with how sure that is.

Two ways, the first wherever it applies:

1. *Direct fits* (``trace.py``). An engine shows every quantity, so the step at
   which the error enters is replayed on the engine's own inputs. What came out
   is compared with what should have: a constant factor, an order of rows, a few
   elements, a choice of samples, fewer bits. Wrong formulas of that one step
   are tried as well (``formulas.py``).
2. *Hypotheses* (``gradients.py``, ``passes.py``). A candidate shows only its
   loss and gradients. The direct fits are tried on each, and then the whole
   step is run with one formula wrong and compared with what was got.

Every explanation predicts numbers, and its confidence is measured
(``measure.py``): the share of the error that it removes. Its list of wrong
formulas is what people get wrong; ``crossgrad/mutants`` plants many of the
same, so recognition measured on those (``benchmarks/diagnosis.py``) is
in-sample where a formula did it. What fits nothing is said to be unrecognised.
"""

from .diagnose import diagnose
from .record import BROADER, CAUSES, Diagnosis

__all__ = ["BROADER", "CAUSES", "Diagnosis", "diagnose"]

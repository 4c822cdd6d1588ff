"""Wrong training steps, and random cases to run them on: what ``crossgrad selftest`` tests itself with."""

from .cases import random_case
from .catalogue import MUTANTS
from .hooked import run_hooked
from .mutant import STAGES, Mutant, run_mutant

__all__ = ["MUTANTS", "STAGES", "Mutant", "random_case", "run_hooked", "run_mutant"]

"""Every mutant that crossgrad knows."""

from .derivative_faults import DERIVATIVE_MUTANTS
from .element_faults import ELEMENT_MUTANTS
from .forward_faults import FORWARD_MUTANTS
from .gradient_faults import BIAS_GRADIENT_MUTANTS, WEIGHT_GRADIENT_MUTANTS
from .input_faults import INPUT_MUTANTS
from .loss_faults import LOSS_MUTANTS
from .mutant import Mutant
from .precision_faults import PRECISION_MUTANTS
from .pull_back_faults import PULL_BACK_MUTANTS
from .sample_faults import SAMPLE_MUTANTS
from .stale_faults import STALE_MUTANTS
from .update_faults import UPDATE_MUTANTS

MUTANTS: tuple[Mutant, ...] = (
    *FORWARD_MUTANTS,
    *LOSS_MUTANTS,
    *DERIVATIVE_MUTANTS,
    *WEIGHT_GRADIENT_MUTANTS,
    *BIAS_GRADIENT_MUTANTS,
    *PULL_BACK_MUTANTS,
    *SAMPLE_MUTANTS,
    *STALE_MUTANTS,
    *INPUT_MUTANTS,
    *ELEMENT_MUTANTS,
    *UPDATE_MUTANTS,
    *PRECISION_MUTANTS,
)

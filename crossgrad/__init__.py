"""crossgrad: are these gradients right, and if not, which one is wrong, where, and why?

    >>> import crossgrad
    >>> report = crossgrad.check("784-30-10", backends=["numpy"], dtypes=["float32"])
    >>> report.ok
    True

Importing crossgrad imports no framework, and nothing heavy: each public name
is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backends.base import BackendUnavailable
    from .candidates import CandidateFile
    from .checking import check
    from .functions.comparing import assert_gradients_agree, compare_gradients
    from .functions.function import Function, gradient, loss
    from .functions.report import FunctionReport
    from .functions.runs import FunctionFailed
    from .models.model import Model
    from .models.ports import (
        from_equinox,
        from_flax,
        from_keras,
        from_onnx,
        from_torch,
        to_jax,
        to_torch,
    )
    from .networks.batch_files import load_batch, save_batch
    from .networks.batches import Batch
    from .networks.cases import Case
    from .networks.errors import InvalidInput
    from .networks.parameter_files import load_parameters, save_parameters
    from .networks.parameters import DenseParameters
    from .networks.spec import Dense, Network
    from .report import GradientsDisagree, Report
    from .workers.limits import Limits

_HOME = {
    "BackendUnavailable": ".backends.base",
    "Batch": ".networks.batches",
    "CandidateFile": ".candidates",
    "Case": ".networks.cases",
    "Dense": ".networks.spec",
    "DenseParameters": ".networks.parameters",
    "Function": ".functions.function",
    "FunctionFailed": ".functions.runs",
    "FunctionReport": ".functions.report",
    "GradientsDisagree": ".report",
    "InvalidInput": ".networks.errors",
    "Limits": ".workers.limits",
    "Model": ".models.model",
    "Network": ".networks.spec",
    "Report": ".report",
    "assert_gradients_agree": ".functions.comparing",
    "check": ".checking",
    "compare_gradients": ".functions.comparing",
    "from_equinox": ".models.ports",
    "from_flax": ".models.ports",
    "from_keras": ".models.ports",
    "from_onnx": ".models.ports",
    "from_torch": ".models.ports",
    "gradient": ".functions.function",
    "load_batch": ".networks.batch_files",
    "load_parameters": ".networks.parameter_files",
    "loss": ".functions.function",
    "save_batch": ".networks.batch_files",
    "save_parameters": ".networks.parameter_files",
    "to_jax": ".models.ports",
    "to_torch": ".models.ports",
}

__all__ = [
    "BackendUnavailable",
    "Batch",
    "CandidateFile",
    "Case",
    "Dense",
    "DenseParameters",
    "Function",
    "FunctionFailed",
    "FunctionReport",
    "GradientsDisagree",
    "InvalidInput",
    "Limits",
    "Model",
    "Network",
    "Report",
    "assert_gradients_agree",
    "check",
    "compare_gradients",
    "from_equinox",
    "from_flax",
    "from_keras",
    "from_onnx",
    "from_torch",
    "gradient",
    "load_batch",
    "load_parameters",
    "loss",
    "save_batch",
    "save_parameters",
    "to_jax",
    "to_torch",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from .versions import package_version

        return package_version("crossgrad")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

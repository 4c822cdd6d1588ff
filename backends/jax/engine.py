"""JAX on the network of a case.

Variants: ``jit``, the whole of value_and_grad compiled ahead of time;
``nojit``, the same dispatched operation by operation; ``forward``, forward
mode, one pass a parameter, for small networks.

Compilation is most of what a short run takes. JAX keeps what it compiled from
one process to the next if the environment variable ``JAX_COMPILATION_CACHE_DIR``
names a directory; by default only what took a second to compile, which
``JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0`` changes.
"""

from typing import Any

import jax

from ...networks.cases import Case
from ...networks.errors import first_line
from ..allocation import give_back_memory
from ..base import (
    Backend,
    Products,
    Program,
    Unsupported,
    cuda_names,
    require_dtype,
    require_rules,
    settings_in_variables,
)
from .activations import ACTIVATIONS
from .losses import LOSSES
from .memory import limit_device_memory
from .products import JaxProducts
from .program import JaxProgram

DTYPES = ("float16", "bfloat16", "tf32", "float32", "float64")

FORWARD_LIMIT = 2048
"""Most inputs that ``forward`` differentiates by: it carries one tangent of the whole network for each."""


class JaxBackend(Backend):
    """JAX on the CPU and on every CUDA device that it sees."""

    name = "jax"
    variants = ("jit", "nojit", "forward")

    def __init__(self) -> None:
        self._x64_for_good = False

    def devices(self) -> tuple[str, ...]:
        return ("cpu", *cuda_names(len(_cuda_devices())))

    def prepare(self, case: Case, variant: str, device: str) -> Program:
        self._require(case, device)
        require_rules(self.name, case.network, case.loss, ACTIVATIONS, LOSSES)
        if variant == "forward":
            _require_small(case)
        return JaxProgram(case, variant, device, self._x64_for_good)

    def products(self, case: Case, device: str) -> Products:
        self._require(case, device)
        return JaxProducts(case, device, self._x64_for_good)

    def limit_device_memory(self, size: int) -> None:
        limit_device_memory(size)

    def settle(self, case: Case) -> None:
        """Switch x64 on or off for the whole process, as the users of one dtype do, instead of in scopes."""
        self._x64_for_good = case.dtype == "float64"
        jax.config.update("jax_enable_x64", self._x64_for_good)  # type: ignore[no-untyped-call]

    def forget(self) -> None:
        """Empty JAX's caches, which hold half a megabyte for each program ever compiled."""
        jax.clear_caches()  # type: ignore[no-untyped-call]

    def give_back(self) -> None:
        give_back_memory()

    def why_no_cuda(self) -> str | None:
        try:
            jax.devices("cuda")
        except RuntimeError as error:
            return first_line(error)
        return None

    def environment(self) -> dict[str, Any]:
        settings: Any = jax.config
        cache = settings.jax_compilation_cache_dir
        return {
            "x64": bool(settings.jax_enable_x64),
            "matmul_precision": settings.jax_default_matmul_precision or "default",
            "platform": jax.default_backend(),
            **({"compilation_cache": str(cache)} if cache else {}),
            **(
                {"device_names": [found.device_kind for found in there]} if (there := _cuda_devices()) else {}
            ),
            **settings_in_variables("NVIDIA_TF32_OVERRIDE", "XLA_FLAGS", "CUDA_VISIBLE_DEVICES"),
        }

    def _require(self, case: Case, device: str) -> None:
        self.require_device(device)
        require_dtype(self.name, case.dtype, DTYPES)
        if case.dtype == "tf32" and device == "cpu":
            raise Unsupported("tf32 is a mode of CUDA devices: jax on cpu has none")


def _cuda_devices() -> list[jax.Device]:
    try:
        return jax.devices("cuda")
    except RuntimeError:
        return []


def _require_small(case: Case) -> None:
    probes = 2 * case.batch_size * sum(case.network.widths[1:])
    inputs = case.network.parameter_count + probes
    if inputs > FORWARD_LIMIT:
        raise Unsupported(
            f"jax:forward takes one pass for each of {inputs:,} parameters and intermediates; "
            f"it is meant for small networks, of at most {FORWARD_LIMIT:,}"
        )

"""What a user of each framework would write for a case: program text, for scripts (``scripts.py``).

The text is unrolled, a line a step, with the tensors named as in the
mathematics: ``z1 = x @ W1.T + b1``. Every part defines ``found()``, which
returns the loss and gradients as float64 arrays by name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .engines import EngineId
from .networks.cases import Case
from .networks.dtypes import find_dtype


@dataclass(frozen=True)
class Activation:
    """An activation in each language: of z, its slope of a, and the frameworks' functions."""

    by_hand: str
    slope: str
    torch: str
    jax: str


@dataclass(frozen=True)
class Loss:
    """A loss of ``a`` and ``y`` in each language, and its derivative by ``a``."""

    by_hand: str
    derivative: str
    torch: str
    jax: str


@dataclass(frozen=True)
class Part:
    """What one engine adds to a script.

    Parameters
    ----------
    version
        Arguments of print that name the framework and its version.
    keep
        Whether NumPy computes wider than it stores: ``keep`` then rounds each stored value.
    """

    imports: Sequence[str]
    code: Sequence[str]
    version: str
    keep: bool = False


ACTIVATIONS = {
    "sigmoid": Activation(
        by_hand="np.exp(np.minimum({z}, 0)) / (1 + np.exp(-np.abs({z})))",
        slope="{a} * (1 - {a})",
        torch="torch.sigmoid",
        jax="jax.nn.sigmoid",
    ),
}

LOSSES = {
    "mse": Loss(
        "np.mean(({a} - y) ** 2)",
        "2 * ({a} - y) / {a}.size",
        "torch.nn.functional.mse_loss({a}, y)",
        "jnp.mean(({a} - y) ** 2)",
    ),
    "mse-sum": Loss(
        "np.sum(({a} - y) ** 2)",
        "2 * ({a} - y)",
        'torch.nn.functional.mse_loss({a}, y, reduction="sum")',
        "jnp.sum(({a} - y) ** 2)",
    ),
    "half-mse": Loss(
        "np.sum(({a} - y) ** 2) / (2 * len(y))",
        "({a} - y) / len(y)",
        'torch.nn.functional.mse_loss({a}, y, reduction="sum") / (2 * len(y))',
        "jnp.mean(jnp.sum(({a} - y) ** 2, axis=1)) / 2",
    ),
}

_AUTOGRAD = "gradients = dict(zip(params, torch.autograd.grad(loss, list(params.values()))))"

TORCH_VARIANTS = {
    "eager": ["loss = loss_of(params, x, y)", _AUTOGRAD],
    "func": ["gradients, loss = torch.func.grad_and_value(loss_of)(params, x, y)"],
    "compile": [
        "compiled = torch.compile(loss_of, fullgraph=True, dynamic=False)",
        "loss = compiled(params, x, y)",
        _AUTOGRAD,
    ],
}

JAX_VARIANTS = {
    "jit": ["loss, gradients = jax.jit(jax.value_and_grad(loss_of))(params, x, y)"],
    "nojit": ["loss, gradients = jax.value_and_grad(loss_of)(params, x, y)"],
    "forward": ["loss, gradients = loss_of(params, x, y), jax.jacfwd(loss_of)(params, x, y)"],
}


def can_say(case: Case, engine: EngineId) -> bool:
    """Whether there are words for this engine and everything in the case."""
    activations = {layer.activation for layer in case.network.layers}
    return (
        (engine.backend, engine.variant) in _PARTS
        and activations <= ACTIVATIONS.keys()
        and case.loss in LOSSES
    )


def part_of(case: Case, engine: EngineId) -> Part:
    """The words of an engine for a case; see `can_say`."""
    return _PARTS[engine.backend, engine.variant](case, engine)


def by_hand(case: Case, names: Sequence[str], keep: bool) -> list[str]:
    """The step in NumPy: the forward pass, the loss, and the chain rule from the top down."""
    kept = "keep({})" if keep else "{}"
    loss, last = LOSSES[case.loss], len(case.parameters)
    forward, backward, found = list[str](), list[str](), ['"loss": loss']
    for n, (layer, (_, b)) in enumerate(zip(case.network.layers, case.parameters, strict=True), start=1):
        rule, below = ACTIVATIONS[layer.activation], f"a{n - 1}" if n > 1 else "x"
        forward += [
            f"z{n} = " + kept.format(f"{below} @ W{n}.T" + ("" if b is None else f" + b{n}")),
            f"a{n} = " + kept.format(rule.by_hand.format(z=f"z{n}")),
        ]
        pulled = [f"da{n - 1} = " + kept.format(f"dz{n} @ W{n}")] if n > 1 else []
        summed = [] if b is None else [f"db{n} = " + kept.format(f"dz{n}.sum(axis=0)")]
        backward = [
            f"dz{n} = " + kept.format(f"da{n} * " + rule.slope.format(a=f"a{n}")),
            f"dW{n} = " + kept.format(f"dz{n}.T @ {below}"),
            *summed,
            *pulled,
            *backward,
        ]
        found += [f'"dW{n}": dW{n}'] + ([] if b is None else [f'"db{n}": db{n}'])
    return [
        f"def by_hand({', '.join([*(['keep'] if keep else []), *names])}):",
        '    """Loss and gradients by the chain rule."""',
        *_indented(forward),
        "    loss = " + kept.format(loss.by_hand.format(a=f"a{last}")),
        f"    da{last} = " + kept.format(loss.derivative.format(a=f"a{last}")),
        *_indented(backward),
        f"    return {{{', '.join(found)}}}",
    ]


def call_by_hand(numpy_type: str, keep: str | None) -> str:
    """The call of ``by_hand`` on the script's values."""
    first = "" if keep is None else f"{keep}, "
    return f"by_hand({first}**{{name: np.array(v, {numpy_type}) for name, v in values.items()}})"


def _numpy(case: Case, engine: EngineId) -> Part:
    """By hand again, in the dtype; what is narrower than float32 is summed in float32 and then rounded."""
    narrow = find_dtype(case.dtype).precision < find_dtype("float32").precision
    module = "ml_dtypes" if case.dtype == "bfloat16" else "np"
    rounding = f"np.asarray(v).astype({module}.{case.dtype}).astype(np.float32)"
    call = call_by_hand("np.float32", "rounded") if narrow else call_by_hand(f"np.{case.dtype}", None)
    return Part(
        imports=["import ml_dtypes"] if module == "ml_dtypes" else [],
        code=[
            *(["def rounded(v):", f"    return {rounding}", "", ""] if narrow else []),
            "def found():",
            f'    """The same in {case.dtype}."""',
            f"    return {call}",
        ],
        version='"ml_dtypes", ml_dtypes.__version__' if module == "ml_dtypes" else "",
        keep=narrow,
    )


def _torch(case: Case, engine: EngineId) -> Part:
    affine = "torch.nn.functional.linear({a}, {W}, {b})"
    settings = ['torch.backends.cuda.matmul.fp32_precision = "tf32"', "", ""] * (case.dtype == "tf32")
    code = [
        *settings,
        *_loss_of(case, affine, lambda rule: rule.torch, LOSSES[case.loss].torch),
        *["", "", "def put(v):"],
        f'    return torch.tensor(v, dtype=torch.{_stored(case)}, device="{engine.device}")',
        *["", "", "def found():", '    """The same by torch."""'],
        '    params = {name: put(v).requires_grad_() for name, v in values.items() if name[0] in "Wb"}',
        '    x, y = put(values["x"]), put(values["y"])',
        *_indented(TORCH_VARIANTS[engine.variant]),
        '    named = {"loss": loss} | {f"d{name}": g for name, g in gradients.items()}',
        "    return {name: v.detach().cpu().double().numpy() for name, v in named.items()}",
    ]
    return Part(["import torch"], code, '"torch", torch.__version__')


def _jax(case: Case, engine: EngineId) -> Part:
    precision = "tensorfloat32" if case.dtype == "tf32" else "highest"
    kind, _, number = engine.device.partition(":")
    code = [
        f'jax.config.update("jax_default_matmul_precision", "{precision}")',
        *['jax.config.update("jax_enable_x64", True)'] * (case.dtype == "float64"),
        *["", ""],
        *_loss_of(case, "{a} @ {W}.T + {b}", lambda rule: rule.jax, LOSSES[case.loss].jax),
        *["", "", "def put(v):"],
        f'    device = jax.devices("{kind}")[{int(number or 0)}]',
        f"    return jax.device_put(np.array(v, jnp.{_stored(case)}), device)",
        *["", "", "def found():", '    """The same by jax."""'],
        '    params = {name: put(v) for name, v in values.items() if name[0] in "Wb"}',
        '    x, y = put(values["x"]), put(values["y"])',
        *_indented(JAX_VARIANTS[engine.variant]),
        '    named = {"loss": loss} | {f"d{name}": g for name, g in gradients.items()}',
        "    return {name: np.asarray(v).astype(np.float64) for name, v in named.items()}",
    ]
    return Part(["import jax", "import jax.numpy as jnp"], code, '"jax", jax.__version__')


_PARTS: dict[tuple[str, str], Callable[[Case, EngineId], Part]] = {
    ("numpy", "manual"): _numpy,
    **{("torch", variant): _torch for variant in TORCH_VARIANTS},
    **{("jax", variant): _jax for variant in JAX_VARIANTS},
}


def _loss_of(case: Case, affine: str, function: Callable[[Activation], str], loss: str) -> list[str]:
    """The forward pass in a framework's words."""
    body = []
    for n, (layer, (_, b)) in enumerate(zip(case.network.layers, case.parameters, strict=True), start=1):
        form = affine.replace(", {b}", "").replace(" + {b}", "") if b is None else affine
        z = form.format(a=f"a{n - 1}" if n > 1 else "x", W=f'p["W{n}"]', b=f'p["b{n}"]')
        body.append(f"a{n} = {function(ACTIVATIONS[layer.activation])}({z})")
    last = loss.format(a=f"a{len(case.parameters)}")
    return ["def loss_of(p, x, y):", *_indented(body), f"    return {last}"]


def _stored(case: Case) -> str:
    return find_dtype(case.dtype).stored_as


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]

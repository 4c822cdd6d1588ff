"""A case as a stand-alone script that shows what an engine gets wrong, ready for a bug report.

For torch, jax and numpy the script needs nothing of crossgrad: it holds the
numbers, the framework's own few lines, backprop by hand as the right answer,
and the rounding noise that correct arithmetic makes, judged as ``verdict.py``
does. What such a script cannot say (an engine from another package, a fault
beside loss and gradients, an activation that ``idioms.py`` has no words for) is
a script that calls ``crossgrad.check`` with the same numbers.

Numbers are the shortest text that Python reads back as the same double, and a
double holds every value of every dtype.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Any

from .candidates import CandidateFile
from .engines import EngineId
from .escape import python_string, terminal
from .floor import rounding_floor
from .idioms import by_hand, call_by_hand, can_say, part_of
from .networks.cases import Case
from .networks.dtypes import Array
from .nonfinite import outcomes
from .run import CANDIDATE_KINDS
from .smaller import arrays
from .verdict import ELEMENT_LIMIT, TENSOR_LIMIT, WRONG, Expectation
from .versions import package_version

WIDTH = 100
"""Columns that numbers and comments keep to."""


def script(
    case: Case,
    engine: EngineId,
    *,
    wrong: Iterable[str] = (),
    origin: str = "",
    oracle: str = "auto",
    candidate: CandidateFile | None = None,
) -> str:
    """Write the script: exit code 1 if the disagreement shows, 0 if not.

    Parameters
    ----------
    wrong
        Names of the quantities that are wrong. If no loss and no gradient is
        among them, the script calls crossgrad, which sees the others too.
    origin
        Where the case comes from, in a sentence.
    oracle
        The judge, where the script calls crossgrad.
    candidate
        Where the function is, if `engine` is one of the user's.
    """
    wrong = list(wrong)
    if can_say(case, engine):
        noise = _noise(case)
        if not wrong or any(name in noise for name in wrong):
            return _standalone(case, engine, noise, origin)
        why = f"crossgrad judges: neither loss nor gradient is wrong, but {', '.join(wrong[:4])}."
    else:
        why = f"crossgrad runs {engine.label} and judges: this script knows no words to do it alone."
    return _judged_by_crossgrad(case, engine, _heading(case, engine, origin, why), oracle, candidate)


def _noise(case: Case) -> dict[str, Array]:
    """Standard deviations of loss and gradients; what may overflow in this dtype is left out."""
    floor = rounding_floor(case)
    expected = {name: Expectation(value, floor.sigma[name]) for name, value in floor.value.items()}
    possible = outcomes(case, expected)
    return {
        q.name: floor.sigma[q.name]
        for q in case.quantities
        if q.kind in CANDIDATE_KINDS and possible[q.name].settled.all()
    }


def _standalone(case: Case, engine: EngineId, noise: Mapping[str, Array], origin: str) -> str:
    part = part_of(case, engine)
    values = {name.replace(".", ""): array for name, array in arrays(case).items()}
    sigmas = {name.replace(".", ""): sigma for name, sigma in noise.items()}
    wide = call_by_hand(
        "np.longdouble" if case.dtype == "float64" else "np.float64", "lambda v: v" if part.keep else None
    )
    why = f"In that case the fault is not in {engine.backend} but in crossgrad's engine for it."
    lines = [
        *_heading(case, engine, origin, why),
        *["", "import platform", "import sys", "", *part.imports, "import numpy as np", ""],
        f"# Exact: each of these is a {case.dtype} number.",
        *["values = {", *_entries(values, _number), "}"],
        f"# Standard deviations of the rounding errors that correct {case.dtype} arithmetic makes.",
        *["noise = {", *_entries(sigmas, lambda v: f"{v:.3g}"), "}"],
        *["", "", *by_hand(case, list(values), part.keep)],
        *["", "", *part.code, "", ""],
        _versions(part.version),
        f"right = {wide}",
        "got, wrong = found(), False",
        *_judging(engine),
    ]
    return "\n".join(lines) + "\n"


def _heading(case: Case, engine: EngineId, origin: str, why: str) -> list[str]:
    samples = "1 sample" if case.batch_size == 1 else f"{case.batch_size} samples"
    sentences = [
        f"{engine} is wrong in {case.dtype}: network {case.network}, loss {case.loss}, {samples}.",
        f"Found by crossgrad {package_version('crossgrad')}.",
        origin,
        "Exit code 1: the disagreement shows; 0: it does not.",
        why,
    ]
    return [f"# {line}" for line in wrap(terminal(" ".join(sentences)), WIDTH - 2)]


def _versions(more: str) -> str:
    return f'print("python", platform.python_version(), "numpy", np.__version__{", " * bool(more)}{more})'


def _judging(engine: EngineId) -> list[str]:
    """The verdict's rule (``verdict.judge``), and what it finds in words."""
    element, tensor = ELEMENT_LIMIT, TENSOR_LIMIT
    return f"""\
for name, sigma in noise.items():
    error = np.abs(got[name] - right[name]).astype(float)
    shares = np.ravel(error / np.array(sigma))
    # An element may be {element:g} standard deviations off, a large tensor {tensor:g} in root mean square.
    limit = {tensor:g} + {element - tensor:g} / np.sqrt(shares.size)
    over = max(shares.max() / {element:g}, np.sqrt(np.mean(shares**2)) / limit)
    if over <= 1:
        print(f"{{name}}: right; its largest difference, {{error.max():.3g}}, is rounding")
        continue
    wrong, worst = True, np.unravel_index(np.argmax(shares), error.shape)
    print(f"{{name}}: WRONG; its largest difference is {{error.max():.3g}},")
    print(f"    {{over:.3g}} times what rounding explains; {{name}}{{[*map(int, worst)] or ''}}:")
    print(f"    got {{got[name][worst]!s}}, expected {{right[name][worst]!s}}")
print({python_string(f"{engine} is wrong")} if wrong else "no disagreement")
sys.exit(1 if wrong else 0)""".splitlines()


def _judged_by_crossgrad(
    case: Case, engine: EngineId, heading: Sequence[str], oracle: str, candidate: CandidateFile | None
) -> str:
    dense = [
        f'    crossgrad.Dense({layer.units}, "{layer.activation}", bias={layer.bias}),'
        for layer in case.network.layers
    ]
    pairs = [line for W, b in case.parameters for line in _pair(W, b)]
    lines = [
        *heading,
        *["", "import platform", "import sys", "", "import numpy as np", "", "import crossgrad", ""],
        *["layers = [", *dense, "]"],
        f"# Exact: each of these is a {case.dtype} number. A pair (W, b) a layer; then (x, y).",
        *["params = [", *_indented(pairs), "]"],
        *[
            "batch = (",
            *_indented([*_literal(case.batch.x, _number, ","), *_literal(case.batch.y, _number, ",")]),
        ],
        *[")", *_checking(case, engine, oracle, candidate)],
    ]
    return "\n".join(lines) + "\n"


def _checking(case: Case, engine: EngineId, oracle: str, candidate: CandidateFile | None) -> list[str]:
    return f"""\
report = crossgrad.check(
    crossgrad.Network({case.network.inputs}, layers),
    params=params,
    batch=batch,
    loss="{case.loss}",
    learning_rate={case.learning_rate!r},
    {_chosen(engine, candidate)},
    devices=[{python_string(engine.device)}],
    dtypes=["{case.dtype}"],
    oracle={python_string(oracle)},
)
{_versions('"crossgrad", crossgrad.__version__')}
for name, facts in report.environment["backends"].items():
    print(name, facts.get("version", "of unknown version"))
comparisons = [c for c in report.comparisons if str(c.engine) == {python_string(str(engine))}]
for c in comparisons:
    found = c.judgement
    if found.index is None:
        print(f"{{c.quantity}}: {{c.verdict}}: {{found.reason}}")
    else:
        print(f"{{c.quantity}}: {{c.verdict}}; its largest difference is {{found.max_abs_error}}:")
        place = list(found.index) or ""
        print(f"    {{c.quantity}}{{place}}: got {{found.got}}, expected {{found.expected}}")
for problem in report.cases[0].problems:
    print(problem)
wrong = any(c.verdict in {sorted(WRONG)!r} for c in comparisons)
print({python_string(f"{engine} is wrong")} if wrong else "no disagreement")
sys.exit(1 if wrong else 0 if report.ok else 3)""".splitlines()


def _chosen(engine: EngineId, candidate: CandidateFile | None) -> str:
    """What the check is to run: an engine; or a function, beside the engine that needs no framework."""
    if candidate is None:
        return f"backends=[{python_string(engine.label)}]"
    place = python_string(f"{candidate.name}={candidate.file}:{candidate.function}")
    file = f"{{{python_string(candidate.name)}: crossgrad.CandidateFile.parse({place})}}"
    return f'backends=["numpy"],\n    candidates={file},\n    candidate_backend="{candidate.backend}"'


def _pair(W: Array, b: Array | None) -> list[str]:
    bias = ["None,"] if b is None else _literal(b, _number, ",")
    return ["(", *_indented([*_literal(W, _number, ","), *bias]), "),"]


def _number(value: Any) -> str:
    """The shortest text that reads back as the same double; -0.0 is no whole number."""
    text = repr(float(value))
    return text.removesuffix(".0") if 0 < abs(float(value)) < 1e6 else text


def _entries(named: Mapping[str, Array], number: Callable[[Any], str]) -> list[str]:
    """The lines of a dictionary."""
    lines = []
    for name, array in named.items():
        first, *rest = _literal(array, number, ",")
        lines += [f'"{name}": {first}', *rest]
    return _indented(lines)


def _literal(array: Array, number: Callable[[Any], str], end: str = "") -> list[str]:
    """An array as nested lists: in one line if it fits, else a row after the other."""
    if array.ndim == 0:
        return [number(array[()]) + end]
    rows = [_literal(row, number, ",") for row in array]
    text = f"[{' '.join(line for row in rows for line in row).removesuffix(',')}]{end}"
    if len(text) < WIDTH - 12:
        return [text]
    if array.ndim > 1:
        return ["[", *_indented([line for row in rows for line in row]), f"]{end}"]
    return wrap(text, WIDTH - 12, subsequent_indent=" ", break_long_words=False, break_on_hyphens=False)


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]

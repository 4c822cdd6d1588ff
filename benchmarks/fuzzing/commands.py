"""The command line's strings, apart by NUL, as far as an engine would start."""

import io
import shutil
from contextlib import AbstractContextManager, chdir, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from crossgrad import checking, engines, execution, judging, pythons, selftest, traces
from crossgrad.cli.app import run
from crossgrad.networks.dtypes import find_dtype
from crossgrad.networks.errors import InvalidInput
from crossgrad.sweep import sessions
from crossgrad.sweep.info import RUN_FILE
from crossgrad.sweep.lines import encode
from crossgrad.sweep.records import record_of_refusal
from crossgrad.sweep.store import RECORDS_FILE

from .files import PARAMETERS
from .runs import INFOS, OTHER, PLANS
from .target import Target, assert_harmless, assert_shown_well, emptied, replacing, words
from .watch import watching

NETWORK_FILE = b"inputs=3\nlayers=[{units=2}, {units=1, bias=false}]\n"
RECORD_LINES = encode(record_of_refusal(OTHER, "\x1b[2J\x9b1m\u202e=1+1\r\nforged"))


def _command(data: bytes, folder: Path) -> bool:
    arguments = data.decode(errors="surrogateescape").split("\0")
    if any("completion" in argument for argument in arguments):
        return False  # the shell's, not crossgrad's: it writes to the user's profile, as it is asked to
    out, err = io.StringIO(), io.StringIO()
    with (
        chdir(_furnished(folder)),
        watching(folder, arguments),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code: int = run(arguments)
    assert code in (0, 1, 2, 3), f"exit code {code}"
    assert_harmless(out.getvalue())
    if code == 2 or err.getvalue():
        assert_shown_well(err.getvalue() or out.getvalue())
    return code != 2


def _furnished(folder: Path) -> Path:
    """The folder with a file of each kind, names in them hostile where they may be."""
    (emptied(folder) / "n.toml").write_bytes(NETWORK_FILE)
    (folder / "p.safetensors").write_bytes(PARAMETERS.seeds[0])
    (folder / "plan.toml").write_bytes(PLANS.seeds[0])
    (folder / "run").mkdir()
    (folder / "run" / RUN_FILE).write_bytes(INFOS.seeds[0])
    (folder / "run" / RECORDS_FILE).write_bytes(RECORD_LINES)
    return folder


def _pretend(name: str) -> engines.Seen:
    return engines.Seen(problem=f"{name} is not run by the fuzzer")


def _in_process(
    backends: Any, devices: Any, candidates: Any, *more: Any, **others: Any
) -> execution.Executor:
    return execution.InProcess(backends, devices, candidates)


def _stop_selftest(seed: int, dtype: str, *, small: bool = True) -> None:
    raise InvalidInput(f"taken: {find_dtype(dtype).name}")


def _stop_sweep(*given: object) -> execution.Executor:
    raise InvalidInput("taken: a sweep")


def _no_engine_runs() -> AbstractContextManager[Any]:
    """Commands parse, read and draw, and find every engine missing."""
    select = partial(engines.select_engines, see=_pretend)
    return replacing(
        *((home, "select_engines", select) for home in (engines, execution)),
        *((home, "open_executor", _in_process) for home in (checking, execution, traces)),
        (pythons, "_probed", lambda file: (pythons.OLDEST, "2.0")),  # it would be run
        (judging, "judge_all", lambda *given: ()),
        (selftest, "random_case", _stop_selftest),
        (sessions, "_executor", _stop_sweep),
        (shutil, "which", lambda name: None),  # doctor would ask nvidia-smi
    )


def _command_lines(*lines: str) -> tuple[bytes, ...]:
    return tuple("\0".join(line.split()).encode() for line in lines)


COMMANDS = Target(
    _command,
    seeds=_command_lines(
        "check 2-3-1 -b numpy --dtype float32 --loss mse --seed 7 --batch-size 4 --learning-rate 0.5",
        "check article digits -d cpu --format json -o out.json --details -q",
        "check n.toml --params p.safetensors --oracle arb --allow-large",
        "trace 2-3 -b torch:eager --dtype float64 --format json",
        "reduce 3-4-2 -b numpy:manual -d cpu --dtype bfloat16 -o script.py --mnist folder",
        "selftest --cases 1 --seed 3 --dtype float16 -b numpy --large",
        "doctor --deep",
        "sweep plan.toml --cases 9 --depth 1..3 --width 1..8 --batch 2 --weight-scale 0.5..2 --shard 1/2",
        "sweep --resume run --fail-fast --jobs 2 --timeout 9 --memory-limit 2G -q",
        "check --case 3-2_b4_float32_mse_w1_s7 --candidate mine=file.py:gradients --no-isolate",
        "check 2-3 --python old=. -b old/numpy -b numpy",
        "new-candidate mine.py",
        "new-candidate lr=1:2.py --candidate-backend torch",
        "show run",
        "show run --failed --format json",
        "show run --format csv -o records.csv",
        "runs .",
        "merge run run -o merged -q",
        "--version",
        "check --help",
    ),
    words=words("check trace reduce selftest doctor --dtype float32 --seed --batch-size --learning-rate nan")
    + words("1e400 --params --mnist /dev/zero --device cuda:1 --backend torch:func --oracle wide --loss")
    + words("new-candidate mine.py --candidate-backend jax ./a=b.py numpy.py")
    + words("half-mse --format json --output ../x -- -1 [/bold] 99999999999999999999 \x1b[2J \u202e"),
    prepared=_no_engine_runs,
)

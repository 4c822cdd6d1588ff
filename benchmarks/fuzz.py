#!/usr/bin/env python3
"""Coverage-guided fuzzing of everything that crossgrad reads, with atheris.

    pip install atheris
    python benchmarks/fuzz.py --minutes 10 [--target NAME]

Each target runs in a process of its own, ``--jobs`` of them at a time, for so many
minutes; one that hangs, dies or eats the memory is a finding, and is started
again. Writes ``benchmarks/results/fuzz.json``; exit code 1 if anything was found.
"""

import argparse
import base64
import json
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from recorded import write

RESULTS = Path(__file__).parent / "results" / "fuzz.json"
HANG_SECONDS = 20
MEMORY_MIB = 4096
LONGEST_INPUT = 4096
MOST_RESTARTS = 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, help="for each target")
    parser.add_argument("--target", action="append", help="repeatable; default: all")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        _run_target(options.target[0], options.minutes, options.child)
    import atheris  # noqa: F401 - missed here rather than in every child
    from fuzzing.targets import TARGETS

    from crossgrad.environment import described, environment

    unknown = set(options.target or ()) - set(TARGETS)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}: known are {', '.join(TARGETS)}")
    result = {
        "environment": environment(described("numpy")) | {"atheris": _version()},
        "jobs": options.jobs,
        "limits": {"seconds_an_input": HANG_SECONDS, "mib": MEMORY_MIB, "bytes_an_input": LONGEST_INPUT},
        "targets": {},
    }
    names = options.target or list(TARGETS)
    with ThreadPoolExecutor(options.jobs) as pool:
        for name, found in zip(names, pool.map(partial(_fuzz, minutes=options.minutes), names), strict=True):
            result["targets"][name] = found
            print(
                f"{name:<12}{found['executions']:>10,} inputs, {len(found['findings'])} findings", flush=True
            )
    write(options.output, result)
    print(f"written to {options.output}")
    sys.exit(any(found["findings"] for found in result["targets"].values()))


def _version() -> str:
    from crossgrad.versions import package_version

    return str(package_version("atheris"))


def _fuzz(name: str, minutes: float) -> dict[str, Any]:
    """Run a target in processes of its own until the time is over."""
    total, findings, edges, corpus = Counter[str](), [], 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        began = time.monotonic()
        for _ in range(MOST_RESTARTS):
            left = minutes - (time.monotonic() - began) / 60
            if left <= 0.01:
                break
            command = [sys.executable, __file__, "--target", name, "--minutes", str(left), "--child", scratch]
            done = subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
            log = done.stderr.decode(errors="replace")
            stats = json.loads((folder / "stats.json").read_text())
            total += Counter(stats["counts"])
            findings += stats["findings"]
            if done.returncode:
                print(log[-2000:], file=sys.stderr)
                findings += _deaths(folder, done.returncode)
            edges = max([edges, *map(int, re.findall(r"cov: (\d+)", log))])
            corpus = len(list((folder / "corpus").iterdir()))
    known = {finding["where"]: finding for finding in reversed(findings)}
    return {
        "minutes": round((time.monotonic() - began) / 60, 2),
        "executions": total["taken"] + total["refused"] + total["failed"],
        **{outcome: total[outcome] for outcome in ("taken", "refused", "failed")},
        "corpus": corpus,
        "edges": edges,
        "findings": list(known.values()),
    }


def _deaths(folder: Path, code: int) -> list[dict[str, Any]]:
    """What ended a process: libFuzzer leaves the input in a file named after the reason."""
    files = [file for file in folder.iterdir() if re.match("crash-|timeout-|oom-", file.name)]
    found = []
    for file in files:
        found.append(_finding(file.name.partition("-")[0], f"exit code {code}", file.read_bytes()))
        file.unlink()
    return found or [_finding("ended", f"exit code {code}", b"")]


def _finding(where: str, text: str, data: bytes) -> dict[str, str]:
    return {"where": where, "text": text, "input": base64.b64encode(data).decode()}


def _run_target(name: str, minutes: float, folder: Path) -> NoReturn:
    """Fuzz in this process, which libFuzzer ends; counts and findings go to ``stats.json`` as they come."""
    import atheris

    with atheris.instrument_imports(include=["crossgrad", "tomllib", "json"]):
        from fuzzing.targets import TARGETS

    target = TARGETS[name]
    corpus, work = folder / "corpus", folder / "work"
    for made in (corpus, work):
        made.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = ["".join(f"\\x{byte:02x}" for byte in word) for word in target.words]
    (folder / "words").write_text("".join(f'"{word}"\n' for word in words))
    read, target_folder = target.read, work
    counts, findings, saved = Counter[str](), dict[str, dict[str, str]](), 0.0

    def one(data: bytes) -> None:
        nonlocal saved
        try:
            outcome = "taken" if read(data, target_folder) else "refused"
        except BaseException as problem:
            outcome, where = "failed", _place(problem)
            if where not in findings:
                findings[where] = _finding(where, _trace(problem), data)
                saved = 0.0
        counts[outcome] += 1
        if time.monotonic() - saved > 1:
            saved = time.monotonic()
            stats = {"counts": counts, "findings": list(findings.values())}
            (folder / "stats.json").write_text(json.dumps(stats))

    with target.prepared():
        for seed in target.seeds:  # what is imported late is not charged to the first input
            one(seed)
        limits = [f"-timeout={HANG_SECONDS}", f"-rss_limit_mb={MEMORY_MIB}", f"-max_len={LONGEST_INPUT}"]
        span = [f"-max_total_time={max(1, round(60 * minutes))}", f"-artifact_prefix={folder}/"]
        atheris.Setup(["fuzz", str(corpus), f"-dict={folder / 'words'}", *limits, *span], one)
        atheris.Fuzz()
    raise SystemExit


def _trace(problem: BaseException) -> str:
    """The traceback without the machine's paths."""
    frames = traceback.extract_tb(problem.__traceback__)[-8:]
    lines = [f"{Path(frame.filename).name}:{frame.lineno} {frame.line}" for frame in frames]
    return "\n".join([*lines, f"{type(problem).__name__}: {str(problem)[:500]}"])


def _place(problem: BaseException) -> str:
    """The exception and where in crossgrad it came from: the same for inputs that find the same."""
    frames = traceback.extract_tb(problem.__traceback__)
    ours = [f for f in frames if "fuzzing" not in Path(f.filename).parts and "fuzz.py" not in f.filename]
    last = (ours or frames)[-1]
    detail = str(problem).partition(":")[0][:60] if isinstance(problem, AssertionError) else ""
    return f"{type(problem).__name__} {Path(last.filename).name}:{last.lineno} {detail}".strip()


if __name__ == "__main__":
    main()

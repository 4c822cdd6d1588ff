"""``benchmarks/cores.py``: what an interrupted run keeps, and what a subject tells of a device."""

import io
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(os, "environ", os.environ.copy())


def test_an_interrupted_run_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``run_cuda.sh`` interrupts what takes too long."""
    cores, output = import_module("cores"), tmp_path / "cores.json"

    def measure(shape: str, dtype: str, *effort: Any) -> dict[str, str]:
        if dtype == "float64":
            raise KeyboardInterrupt
        return {"shape": shape, "dtype": dtype}

    monkeypatch.setattr(cores, "measure", measure)
    monkeypatch.setattr(cores, "lines_of", lambda found: [])
    monkeypatch.setattr(cores, "frameworks_on", lambda device: [])
    monkeypatch.setattr(sys, "argv", ["cores.py", "--only", "1-1-1@1", "--output", str(output)])
    with pytest.raises(KeyboardInterrupt):
        cores.main()
    document = json.loads(output.read_text())
    assert document["cases"] == [{"shape": "1-1-1@1", "dtype": "float32"}]
    assert document["environment"]["python"]
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("device", "tells"), [("cpu", True), ("cuda", False)])
def test_a_process_tells_of_the_hosts_memory_alone(
    device: str, tells: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = import_module("peers.raw.subject")
    monkeypatch.setattr(subject, "build", lambda *case: (lambda: None, lambda: None))
    monkeypatch.setattr(subject.gc, "disable", lambda: None)
    monkeypatch.setattr(sys, "argv", ["subject.py", "raw numpy", "1-1-1", "1", "float32", device])
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"memory": true}\n'))
    subject.main()
    ready, answer = map(json.loads, capsys.readouterr().out.splitlines())
    assert ready == {"ready": "raw numpy"}
    assert (answer["peak"] is not None) == tells


def test_jax_leaves_the_device_to_the_other_subjects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE", raising=False)
    monkeypatch.delitem(sys.modules, "peers.raw.subject", raising=False)
    import_module("peers.raw.subject")
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"

"""Laziness is proved, not hoped for: what is imported, in a fresh interpreter."""

import subprocess
import sys

import pytest

HEAVY = [
    *("torch", "jax", "jaxlib", "sklearn", "scipy", "safetensors", "ml_dtypes"),
    *("flax", "equinox", "keras", "onnx"),
]


def imported_by(code: str) -> set[str]:
    """Top-level modules that are loaded after `code` ran."""
    program = f"{code}\nimport sys; print('|'.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split("|"))


@pytest.mark.parametrize(
    "code",
    [
        "import crossgrad",
        "import crossgrad; crossgrad.__version__",
        "from crossgrad.cli.app import run; run(['--help'])",
        "from crossgrad.cli.app import run; run(['check', '--help'])",
        "from crossgrad.cli.app import run; run(['--version'])",
        "from crossgrad.cli.app import run; run(['doctor'])",
    ],
    ids=["import", "version-attribute", "help", "check-help", "version", "doctor"],
)
def test_no_framework_and_no_numpy(code: str) -> None:
    assert imported_by(code) & {*HEAVY, "numpy"} == set()


def test_checking_with_numpy_imports_no_other_framework() -> None:
    code = "import crossgrad; crossgrad.check('article', backends=['numpy'], dtypes=['float32'])"
    loaded = imported_by(code)
    assert "numpy" in loaded
    assert loaded & set(HEAVY) == set()


def test_one_framework_does_not_bring_the_other() -> None:
    pytest.importorskip("torch")
    arguments = ["check", "article", "-b", "torch", "--dtype", "float32"]
    loaded = imported_by(f"from crossgrad.cli.app import run; run({[*arguments, '--no-isolate']})")
    assert "torch" in loaded
    assert "jax" not in loaded
    assert "torch" not in imported_by(f"from crossgrad.cli.app import run; run({arguments})")


def test_comparing_functions_of_torch_does_not_bring_its_compiler() -> None:
    pytest.importorskip("torch")
    program = (
        "import sys, numpy as np, crossgrad\n"
        "f = [crossgrad.loss(lambda w: (0.5 * w**2).sum(), 'torch', name) for name in 'ab']\n"
        "print(crossgrad.compare_gradients(*f, args=(np.ones(3, 'f4'),), repeats=2).verdict)\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["agree", "False"]


def test_every_public_name_can_be_had() -> None:
    import crossgrad

    assert set(crossgrad.__all__) <= set(dir(crossgrad))
    for name in crossgrad.__all__:
        assert getattr(crossgrad, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        crossgrad.no_such_name  # noqa: B018

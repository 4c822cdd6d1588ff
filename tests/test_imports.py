"""Modules import one way: there is no cycle, not even of imports within functions."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import crossgrad

ROOT = Path(crossgrad.__file__).parent


def modules(root: Path) -> dict[str, Path]:
    """Every module of a package, by its name."""
    links = [path for path in root.iterdir() if path.is_symlink()]  # which rglob does not follow
    found = {}
    for path in (path for folder in (root, *links) for path in folder.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All that may run: what is there for the type checker alone may go both ways."""
    yield node
    checked = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    for child in node.orelse if checked else ast.iter_child_nodes(node):
        yield from statements(child)


def imported(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The package's modules that one imports, relatively, anywhere in it."""
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    for node in statements(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = package[: len(package) - (node.level - 1)]
            whole = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                part = f"{whole}.{alias.name}"
                yield part if part in known else whole


def order(root: Path) -> list[str]:
    """The modules, each after those that it imports; `CycleError` if there is no such order."""
    known = modules(root)
    graph = {name: {*imported(name, path, known)} - {name} for name, path in known.items()}
    assert {found for imports in graph.values() for found in imports} <= known.keys()
    return list(TopologicalSorter(graph).static_order())


def test_modules_import_one_way() -> None:
    found = order(ROOT)
    assert found.index("crossgrad.networks.spec") < found.index("crossgrad.backends.numpy.engine")
    assert found.index("crossgrad.backends.numpy.engine") < found.index("crossgrad.cli.bench")


def test_networks_are_pure_data() -> None:
    """As their package says of itself: they import from nothing else of crossgrad."""
    known = modules(ROOT)
    mine = {name: path for name, path in known.items() if name.startswith("crossgrad.networks")}
    assert {found for name, path in mine.items() for found in imported(name, path, known)} <= mine.keys()


def test_a_cycle_is_found(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "a.py").write_text("from .b import f\n")
    (package / "b.py").write_text("def f():\n    from . import a\n    return a\n")
    with pytest.raises(CycleError):
        order(package)

"""The pages with figures say what the committed results say."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("performance.md", "functions.md", "verdict.md")


@pytest.fixture(scope="module")
def performance() -> ModuleType:
    spec = importlib.util.spec_from_file_location("performance", ROOT / "benchmarks" / "performance.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", PAGES)
def test_pages_hold_the_committed_figures(performance: ModuleType, name: str) -> None:
    text = (ROOT / "docs" / name).read_text()
    assert performance.page(text) == text, "python benchmarks/performance.py makes them anew"
    assert "<!-- end -->" in text


def test_every_page_that_is_made_is_tested(performance: ModuleType) -> None:
    assert {path.name for path in performance.PAGES} == {*PAGES}

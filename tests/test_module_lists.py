"""What a package's docstring says lives in it is what lives in it."""

import re
from pathlib import Path

import pytest

import crossgrad

PACKAGE = Path(crossgrad.__file__).parent
LISTS = [
    path
    for path in sorted(PACKAGE.rglob("__init__.py"))
    if re.search(r"^``\w+``  ", path.read_text(), re.MULTILINE)
]


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.parent.name)
def test_every_module_is_in_its_packages_list(path: Path) -> None:
    named = set(re.findall(r"``(\w+)``", path.read_text()))
    there = {module.stem for module in path.parent.glob("*.py")} - {"__init__", "__main__"}
    assert there - named == set()

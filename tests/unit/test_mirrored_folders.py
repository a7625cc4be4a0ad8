"""Each folder of ``tests/unit`` and ``tests/integration`` exists in ``orchestrator/``."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.sources import PACKAGE

UNIT = Path(__file__).parent
INTEGRATION = UNIT.with_name("integration")
#: Modules and packages of the product.
PLACES = frozenset(
    (path.parent if path.name == "__init__.py" else path.with_suffix("")).relative_to(PACKAGE)
    for path in PACKAGE.rglob("*.py")
)
each_tree = pytest.mark.parametrize("tree", [UNIT, INTEGRATION], ids=lambda tree: tree.name)


@each_tree
def test_each_folder_of_tests_is_a_folder_of_the_product(tree: Path) -> None:
    strange = sorted(
        {test.parent for test in files_below(tree) if not (PACKAGE / test.parent).is_dir()}
    )
    assert not strange, f"not in {PACKAGE.name}/: {', '.join(map(str, strange))}"


@each_tree
def test_a_test_named_after_a_module_lies_in_the_folder_of_the_module(tree: Path) -> None:
    found = {test: place for test in files_below(tree) if (place := misplaced(test))}
    assert not found, f"move it to its module, or rename it: {described(found)}"


def files_below(tree: Path) -> list[Path]:
    """Return the tests in folders. The tests of ``tree`` itself are about several packages."""
    found = [path.relative_to(tree) for path in tree.rglob("test_*.py") if path.parent != tree]
    assert found
    return sorted(found)


def misplaced(test: Path) -> Path | None:
    """Return the module with the test's name in another folder of the same package.

    Tests of a package may lie in the package.
    """
    name = test.stem.removeprefix("test_")
    named = [place for place in PLACES if place.name == name and place.parts[0] == test.parts[0]]
    if not named or any(test.parent in {place, place.parent} for place in named):
        return None
    return min(named)


def described(found: Mapping[Path, Path]) -> str:
    return ", ".join(f"{test} ({place})" for test, place in found.items())


@pytest.mark.parametrize(
    ("test", "module"),
    [
        ("git/commits/test_commit_diffs.py", None),
        ("git/test_commit_diffs.py", "git/commits/commit_diffs"),
        ("git/merge/test_merge.py", None),
        ("api/test_commit_diffs.py", None),
        ("git/merge/test_nothing_of_that_name.py", None),
    ],
)
def test_misplaced_tests_are_found(test: str, module: str | None) -> None:
    assert misplaced(Path(test)) == (Path(module) if module else None)

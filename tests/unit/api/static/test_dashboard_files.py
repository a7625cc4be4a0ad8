"""The dashboard's source: imports that exist, no markup from text, small directories."""

import re
from pathlib import Path

import pytest

from orchestrator.api.http_messages.assets import STATIC

APP = STATIC / "app"
MODULES = sorted(APP.rglob("*.js"))
MOST_ENTRIES = 16
#: Functions and attributes that turn text into markup or code, or need a weaker policy.
FORBIDDEN = (
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "dangerouslySetInnerHTML",
    "eval(",
    "new Function",
    'style="',
    "http://",
)
_IMPORT = re.compile(
    r'(?:^import |^\} from |^(?:import|export) [^;]*? from |import\()"([^"\s]+)"', re.M
)


def test_no_module_makes_markup_from_text() -> None:
    found = {
        f"{path.relative_to(APP)}: {each}"
        for path in MODULES
        for each in FORBIDDEN
        if each in _code(path)
    }
    assert found == set()


def _code(path: Path) -> str:
    return "\n".join(line for line in path.read_text().splitlines() if not line.startswith("//"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(APP)))
def test_the_imports_of_a_module_exist(path: Path) -> None:
    for target in _IMPORT.findall(path.read_text()):
        assert target.startswith("."), f"{target}: only by path, without an import map"
        assert (path.parent / target).is_file(), target


def test_each_room_is_small() -> None:
    rooms = [APP, *(path for path in APP.iterdir() if path.is_dir())]
    assert {room.name for room in rooms if len(list(room.iterdir())) > MOST_ENTRIES} == set()

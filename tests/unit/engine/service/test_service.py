"""The list of use cases."""

import inspect
import re
from pathlib import Path
from typing import get_type_hints

import orchestrator
from orchestrator.engine.service import service
from orchestrator.engine.service.service import Service

PACKAGE = Path(orchestrator.__file__).parent
PARTS = get_type_hints(Service)
#: The comment above each part, and the part's name.
ENTRY = re.compile(r"((?:^    #:.*\n)+)    (\w+): ", re.MULTILINE)
CALL = re.compile(rf"(?:\bservice\(\)|service|served|engine)\.({'|'.join(PARTS)})\.(\w+)")


def listed() -> set[tuple[str, str]]:
    """Return each use case in the list: its part, and its name."""
    entries = ENTRY.findall(inspect.getsource(service))
    assert [part for _, part in entries] == list(PARTS)
    return {(part, name) for text, part in entries for name in re.findall(r"``(\w+)``", text)}


def test_the_list_has_every_use_case_that_the_api_and_the_command_line_call() -> None:
    sources = [path for folder in ("api", "cli") for path in (PACKAGE / folder).rglob("*.py")]
    called = {call for path in sources for call in CALL.findall(path.read_text("utf-8"))}

    assert len(called) > 60
    assert called - listed() == set()


def test_every_use_case_in_the_list_exists_and_has_a_docstring() -> None:
    for part, name in sorted(listed()):
        use_case = getattr(PARTS[part], name, None)
        is_part = re.search(rf"self\.{name}: Final", inspect.getsource(PARTS[part]))
        assert is_part or (use_case and use_case.__doc__), f"{part}.{name}"

"""The list of use cases."""

import re
from pathlib import Path
from typing import get_type_hints

import orchestrator
from orchestrator.engine.service.service import Service

PACKAGE = Path(orchestrator.__file__).parent
PARTS = get_type_hints(Service)
CALL = re.compile(rf"(?:\bservice\(\)|service|served|engine)\.({'|'.join(PARTS)})\.(\w+)")
#: Parts of ``job_details`` and ``job_lists`` that have their own use cases.
GROUPS = {"changes", "events", "feed", "files"}


def test_every_use_case_that_the_api_and_the_command_line_call_has_a_docstring() -> None:
    sources = [path for folder in ("api", "cli") for path in (PACKAGE / folder).rglob("*.py")]
    called = {call for path in sources for call in CALL.findall(path.read_text("utf-8"))}

    assert len(called) > 60
    assert {part for part, _ in called} >= {*PARTS} - {"outbox"}
    for part, name in sorted(called):
        use_case = getattr(PARTS[part], name, None)
        assert use_case.__doc__ if use_case else name in GROUPS, f"{part}.{name}"

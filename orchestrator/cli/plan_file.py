"""Plans that people write: a YAML or JSON file with ``request``, ``config`` and ``tasks``."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.core.errors import InvalidRequest

_HAS_REQUEST = re.compile(r"""^(\s*\{|["']?request["']?\s*:)""", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class PlanFile:
    """What a plan file says, in the fields of the API."""

    request: str
    config: Mapping[str, Any]
    tasks: tuple[Mapping[str, Any], ...]


def read_plan(path: Path, request: str | None) -> PlanFile:
    """Raises InvalidRequest with file, line and column for what is no plan.

    ``request`` stands in for one that the file lacks.
    """
    from orchestrator.schemas.plan import parse_plan

    text = _text(path)
    if not _HAS_REQUEST.search(text):
        # At the end, so that the lines of the file keep their numbers.
        text += f"\nrequest: {json.dumps(request or f'The tasks of {path.name}')}\n"
    parsed = parse_plan(text, path.name)
    plan = parsed.model_dump(mode="json", exclude_unset=True, warnings=False)
    return PlanFile(
        request=plan["request"],
        config=plan.get("config") or {},
        tasks=tuple(plan.get("tasks") or ()),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path} is not UTF-8 text; save the file as UTF-8") from error

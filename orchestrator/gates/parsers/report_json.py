"""Reads values from JSON reports of gates. A value of the wrong type is ignored."""

import json
import os
from typing import Any
from urllib.parse import unquote, urlsplit

from orchestrator.core.gates.findings import Finding, UnreadableReport
from orchestrator.core.text import json_values
from orchestrator.core.text.formatting import one_line

#: Maximum number of findings that are read.
MOST_FINDINGS = 100_000


def parsed(content: bytes, what: str) -> Any:
    """Parse a JSON report. Raise UnreadableReport if ``content`` is not JSON.

    ``what``: the expected format, for the error's text.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableReport(f"the report is not {what}: {error}") from error


def sequence(value: object) -> list[Any]:
    """Return the value if it is a list; otherwise an empty list.

    Raise UnreadableReport if the list is longer than MOST_FINDINGS.
    """
    values = json_values.sequence(value)
    if len(values) > MOST_FINDINGS:
        raise UnreadableReport(
            f"the report has more than {MOST_FINDINGS:,} findings; check fewer files per gate"
        )
    return values


def text(value: object, longest: int = 500) -> str:
    """Return the value as one line of at most ``longest`` characters; "" if it is not text.

    The line has no NUL and no lone surrogates, because no store accepts these characters.
    """
    return one_line(json_values.text(value).replace("\0", "?"))[:longest]


def number(value: object) -> str:
    """Return an integer as text; "?" for any other value."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else "?"


def relative(path: str, cwd: str) -> str:
    """Return a path relative to ``cwd``, because absolute paths differ between worktrees."""
    plain = path if not path.startswith("file://") else unquote(urlsplit(path).path)
    for beginning in (cwd, os.path.realpath(cwd)):
        if plain.startswith(f"{beginning}/"):
            return plain[len(beginning) + 1 :]
    return plain


def finding_at(path: str, line: str, rule: str, message: str) -> Finding:
    """Return the finding of a rule at a line of a file.

    The finding's text has the line number. Its key does not, because line numbers change.
    """
    return Finding(f"{path}|{rule}|{message}", f"{path}:{line}: {rule} {message}")

"""Findings of ruff, mypy, and pre-commit.

Findings are compared without line numbers, because lines move with every change. A failed hook of
pre-commit is one finding, because each hook prints its findings in its own form.
"""

import re

from orchestrator.core.gates.findings import Finding, Reading, UnreadableReport, of_tests
from orchestrator.core.text.json_values import mapping
from orchestrator.gates.parsers.report_json import (
    MOST_FINDINGS,
    finding_at,
    number,
    parsed,
    relative,
    sequence,
    text,
)

#: Matches ``path:line:column: error: message  [code]``. The column and the code may be missing.
_MYPY = re.compile(
    r"^(?P<path>[^:\n]{1,1000}?):(?P<line>\d{1,9})(?::\d{1,9}){0,3}: error: "
    r"(?P<message>[^\n]{0,2000}?)(?:  \[(?P<code>[a-z0-9-]{1,60})\])?$",
    re.MULTILINE,
)
#: Matches a line number inside mypy's message. The number changes if code above the line changes.
_NUMBERED = re.compile(r"\bline \d+\b")


def read_ruff(content: bytes, cwd: str) -> Reading:
    """Parse the output of ``ruff check --output-format=json``.

    Paths in the result are relative to ``cwd``. Raise UnreadableReport if the output is not valid.
    """
    findings = parsed(content, "JSON of ruff")
    if not isinstance(findings, list):
        raise UnreadableReport("the report is JSON, but not a report of ruff: it is not a list")
    return Reading(findings=tuple(_ruff_finding(mapping(each), cwd) for each in sequence(findings)))


def _ruff_finding(finding: dict[str, object], cwd: str) -> Finding:
    path = relative(text(finding.get("filename"), 4096), cwd)
    code = text(finding.get("code")) or "syntax"
    message = text(finding.get("message"))
    line = number(mapping(finding.get("location")).get("row"))
    return finding_at(path, line, code, message)


def read_mypy(content: bytes, cwd: str) -> Reading:
    """Parse mypy's text output. Lines that are no findings are ignored.

    Paths in the result are relative to ``cwd``. Raise UnreadableReport if there are more than
    MOST_FINDINGS findings.
    """
    findings = []
    for match in _MYPY.finditer(content.decode("utf-8", "replace")):
        path, message, code = relative(match["path"], cwd), match["message"], match["code"] or ""
        key = f"{path}|{code}|{_NUMBERED.sub('line', message)}"
        shown = f" [{code}]" if code else ""
        findings.append(Finding(key, f"{path}:{match['line']}: {message}{shown}"))
        if len(findings) > MOST_FINDINGS:
            raise UnreadableReport(
                f"the report has more than {MOST_FINDINGS:,} findings; check fewer files per gate"
            )
    return Reading(findings=tuple(findings))


#: Maximum length of a line with the name of a hook.
LONGEST_LINE = 1000
#: Matches ``name...............(no files to check)Skipped``. The parentheses may be missing.
_ENDS = re.compile(r"(?P<name>[^\n]{1,300}?)\.{3,}(?:\([^)\n]*\))?(?P<end>Passed|Failed|Skipped)$")
_MESSAGE = re.compile(r"- (hook id|exit code|files were modified)(.*)")


def read_pre_commit(content: bytes) -> Reading:
    """Parse the output of pre-commit. A hook without files to check counts as passed."""
    findings: dict[str, list[str]] = {}
    passed, hook = [], ""
    for line in content.decode("utf-8", "replace").splitlines():
        ends = _ENDS.match(line) if len(line) <= LONGEST_LINE else None
        if ends and ends["end"] == "Failed":
            hook = ends["name"]
            findings.setdefault(hook, [])
        elif ends:
            hook = ""
            passed.append(ends["name"])
        elif hook and _MESSAGE.match(line):
            findings[hook].append(line.removeprefix("- "))
    hook_findings = [
        Finding(name, f"{name}: {', '.join(messages) or 'failed'}")
        for name, messages in findings.items()
    ]
    return of_tests(hook_findings, passed)

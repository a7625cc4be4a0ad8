"""Names of failed hooks, from the output of ``pre-commit run``.

The findings of a hook are not parsed, because each hook prints them in its own form.
"""

import re

from orchestrator.core.gates.findings import Flaw, Reading

#: Maximum length of a line with the name of a hook.
LONGEST_LINE = 1000
#: ``name...............(no files to check)Skipped``
_ENDS = re.compile(r"(?P<name>[^\n]{1,300}?)\.{3,}(?:\([^)\n]*\))?(?P<end>Passed|Failed|Skipped)$")
_SAYS = re.compile(r"- (hook id|exit code|files were modified)(.*)")


def read_pre_commit(content: bytes) -> Reading:
    """Parse the output of pre-commit. A hook without files to check counts as passed."""
    flaws: dict[str, list[str]] = {}
    passed, last = [], ""
    for line in content.decode("utf-8", "replace").splitlines():
        ends = _ENDS.match(line) if len(line) <= LONGEST_LINE else None
        if ends and ends["end"] == "Failed":
            last = ends["name"]
            flaws.setdefault(last, [])
        elif ends:
            last = ""
            passed.append(ends["name"])
        elif last and _SAYS.match(line):
            flaws[last].append(line.removeprefix("- "))
    listed = (Flaw(name, f"{name}: {', '.join(said) or 'failed'}") for name, said in flaws.items())
    return Reading(flaws=tuple(listed), passed=tuple(each for each in passed if each not in flaws))

"""Names of failing tests in what test runners print, for readers: they decide nothing."""

import re

#: Names in a sentence.
MOST_NAMED = 3
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
#: What follows the name is a time, or a comment.
_REST = re.compile(r" \(\d[\d.]*m?s\)$| # .*$")
_FAILED = re.compile(
    "|".join(
        (
            # pytest, with what failed
            r"^FAILED (\S+::.+)$",
            # unittest; a module that cannot be imported is no test
            r"^(?:FAIL|ERROR): (\w+ \((?!unittest\.loader).+\))$",
            # go, cargo
            r"^ *--- FAIL: (\S+)",
            r"^test (\S.*) \.\.\. FAILED$",
            # jest, vitest, node --test, TAP
            r"^ *● (?!Console$|Test suite failed)(\S.*)$",
            r"^ *FAIL +(\S+ > \S.*)$",
            r"^ *✖ (?!failing tests)(\S.*)$",
            r"^ *not ok \d+ (?:- )?(\S.*)$",
        )
    ),
    re.MULTILINE,
)


def failing_tests(printed: str) -> str:
    """The first ones and how many more; empty if no known runner names one."""
    found = _FAILED.finditer(_COLORS.sub("", printed))
    names = [*dict.fromkeys(_REST.sub("", each[each.lastindex or 0].strip()) for each in found)]
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")

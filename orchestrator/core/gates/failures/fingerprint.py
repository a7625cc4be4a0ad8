"""Fingerprints of failures: equal failures have equal fingerprints."""

import hashlib
import re
from collections.abc import Iterable

#: "in 0.53s", "12:31:07.250", and the remaining time in the output of ``orchestrator spawn``.
_TIMES = re.compile(
    r"\d+(?:\.\d+)?(?= ?(?:[nmµ]?s|seconds?|minutes?|min)\b)"
    r"|\d\d:\d\d:\d\d(?:[.,]\d+)?|(?<=wall_seconds )\d+"
)


def without_times(text: str) -> str:
    return _TIMES.sub("", text)


def digest_of(parts: Iterable[str]) -> str:
    """Return a short digest that is equal for equal parts in any order."""
    joined = "\0".join(sorted(parts))
    return hashlib.sha256(joined.encode("utf-8", "replace")).hexdigest()[:16]

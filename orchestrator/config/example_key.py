"""Recognizes API keys that were copied from documentation."""

import re

#: Pattern of keys in documentation and tutorials. Attackers may try such keys.
EXAMPLE = re.compile(
    r"example|change.?me|your.?(own|api|secret|key)|placeholder|secret.?key|0123456789|(.)\2{9}",
    re.IGNORECASE,
)


def is_example(key: str) -> bool:
    return EXAMPLE.search(key) is not None

"""Keys that are copied from documentation."""

import re

#: Patterns of keys in documentation and tutorials, which attackers may try.
EXAMPLE = re.compile(
    r"example|change.?me|your.?(own|api|secret|key)|placeholder|secret.?key|0123456789|(.)\2{9}",
    re.IGNORECASE,
)


def is_example(key: str) -> bool:
    return EXAMPLE.search(key) is not None

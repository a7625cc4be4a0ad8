"""The fault table: every injected fault, the promised behaviour, and the tests that prove it.

``python -m tests.faults.reliability`` runs these tests, and writes docs/internals/reliability.md.
"""

from tests.faults import (
    rows_of_attacks,
    rows_of_crashes,
    rows_of_git,
    rows_of_nodes,
    rows_of_resources,
)
from tests.faults.row import Row

_ROWS: tuple[Row, ...] = (
    *rows_of_crashes.ROWS,
    *rows_of_resources.ROWS,
    *rows_of_attacks.ROWS,
    *rows_of_git.ROWS,
    *rows_of_nodes.ROWS,
)
TABLE: tuple[Row, ...] = tuple(sorted(_ROWS, key=lambda row: row.number))

#: Maximum number of rows without a test.
MOST_WITHOUT_TEST = 4


def all_tests() -> list[str]:
    """Return each test once, in the order of the table."""
    return list(dict.fromkeys(test for row in TABLE for test in row.tests))

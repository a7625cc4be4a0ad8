"""One row of the fault table."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    number: int
    fault: str
    #: How a test causes the fault.
    injection: str
    promise: str
    #: The tests that prove the promise: "<path below tests/>::<test>".
    tests: tuple[str, ...] = ()
    #: Why there is no test for the row.
    cannot_run: str = ""

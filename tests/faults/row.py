"""One row of the fault table."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    number: int
    fault: str
    #: How the fault is made to happen.
    injection: str
    promise: str
    #: What proves it: "<path below tests/>::<test>".
    tests: tuple[str, ...] = ()
    #: Why there is no test of it.
    cannot_run: str = ""

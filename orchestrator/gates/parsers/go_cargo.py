"""Test results from the output of ``go test -v`` and ``cargo test``."""

import re
from dataclasses import field

from orchestrator.core.gates.findings import Finding, Reading, UnreadableReport, of_tests
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.formatting import one_line

#: Maximum number of failed and passed tests of a gate.
MOST_TESTS = 200_000
#: Maximum number of characters of a name, and of a test's message.
LONGEST = 500
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(slots=True)
class _Tests:
    """The tests of one Go package or one Rust test program, by name."""

    begun: list[str] = field(default_factory=list)
    ended: dict[str, str] = field(default_factory=dict)
    #: Messages of failed tests, by name.
    messages: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _TestResults:
    findings: list[Finding] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, place: str, tests: _Tests) -> None:
        for name, end in tests.ended.items():
            # Omit line numbers of examples in documentation, because a new line above an example
            # changes its number.
            key = f"{place}::{re.sub(r'[(]line [0-9]+[)]', '(line)', name)}"[:LONGEST]
            if end in {"FAIL", "FAILED"}:
                message = one_line(tests.messages.get(name, "failed"))[:LONGEST]
                self.findings.append(Finding(key, f"{place}::{name}: {message}"))
            elif end in {"SKIP", "ignored"}:
                self.skipped.append(key)
            # Do not record passed Go subtests (names with "/"), because the name of a subtest may
            # differ in each run.
            elif "/" not in name or end == "ok":
                self.passed.append(key)
        if len(self.findings) + len(self.passed) > MOST_TESTS:
            raise UnreadableReport(
                f"the report has more than {MOST_TESTS:,} tests; split the gate into several gates"
            )

    def reading(self) -> Reading:
        return of_tests(self.findings, self.passed, self.skipped)


def _lines(content: bytes) -> list[str]:
    return _COLORS.sub("", content.decode("utf-8", "replace")).splitlines()


_GO_BEGINS = re.compile(r"=== (?:RUN|CONT|NAME) +(\S+)$")
#: Matches go's line about an ended test. Output of the test may precede this text on the line.
_GO_ENDS = re.compile(r"--- (PASS|FAIL|SKIP): (\S+) \(\d+\.\d+s\)$")
_GO_MESSAGE = re.compile(r" +(\S+\.go:\d+: .*)")
_GO_PACKAGE = re.compile(r"(ok  |FAIL)\t(\S+)(?:\s+\[(.*)\])?")


def read_go(content: bytes) -> Reading:
    """Parse the output of ``go test -v``.

    Raise UnreadableReport if there are more than MOST_TESTS tests.
    """
    # The line with a package's name comes after the lines of its tests.
    results, tests, running = _TestResults(), _Tests(), ""
    for line in _lines(content):
        if begins := _GO_BEGINS.match(line):
            running = begins[1]
            tests.begun.append(running)
        elif ends := _GO_ENDS.search(line):
            tests.ended[ends[2]] = ends[1]
        elif begins_message := _GO_MESSAGE.match(line):
            tests.messages[running] = begins_message[1]
        elif package := _GO_PACKAGE.match(line):
            _end_package(results, tests, package)
            tests, running = _Tests(), ""
    return results.reading()


def _end_package(results: _TestResults, tests: _Tests, package: re.Match[str]) -> None:
    name = package[2]
    results.add(name, tests)
    cut_off = next((each for each in tests.begun if each not in tests.ended), "")
    if package[1] == "FAIL" and (cut_off or "FAIL" not in tests.ended.values()):
        # The package could not be built, or it crashed in a test or between tests.
        why = f"{cut_off} did not complete"[:LONGEST] if cut_off else package[3] or "failed"
        results.findings.append(Finding(name, f"{name}: {why}", is_error=not tests.begun))


_CARGO_PROGRAM = re.compile(r" +Running .*[/\\]deps[/\\](.+)-[0-9a-f]{16}(?:\.exe)?\)$")
_CARGO_EXAMPLES = re.compile(r" +Doc-tests (\S+)$")
_CARGO_ENDS = re.compile(
    r"test (.+?)(?: - should panic| - compile| - compile fail)? \.\.\. (ok|FAILED|ignored)\b"
)
_CARGO_OUTPUT = re.compile(r"---- (.+) stdout ----$")
_CARGO_PANIC = re.compile(r"thread '.*panicked at (.*?):?$")
_CARGO_BUILD = re.compile(r"error: (could not compile `[^`]{1,200}`(?: \([^)]{1,200}\))?)")
#: Matches the line that cargo prints after a crash. After failed tests, cargo prints no such line.
_CARGO_DIED = re.compile(r" +process didn't exit successfully: .*(\([^()]{1,200}\))$")
_CARGO_SIDES = ("left: ", "right: ")


def read_cargo(content: bytes) -> Reading:
    """Parse the output of ``cargo test``.

    Raise UnreadableReport if there are more than MOST_TESTS tests.
    """
    cargo = _Cargo()
    for line in _lines(content):
        cargo.read(line)
    cargo.begin("")
    return cargo.results.reading()


@dataclass(slots=True)
class _Cargo:
    results: _TestResults = field(default_factory=_TestResults)
    tests: _Tests = field(default_factory=_Tests)
    program: str = ""
    #: Name of the failed test whose output is being read; empty for none.
    failing: str = ""
    #: Place in the source at which the test ``failing`` failed.
    place: str = ""

    def read(self, line: str) -> None:
        if ends := _CARGO_ENDS.match(line):
            self.tests.ended[ends[1]] = ends[2]
        elif begins_message := _CARGO_OUTPUT.match(line):
            self.failing, self.place = begins_message[1], ""
        elif program := _CARGO_PROGRAM.match(line):
            self.begin(program[1])
        elif examples := _CARGO_EXAMPLES.match(line):
            self.begin(f"{examples[1]} (doc)")
        elif build := _CARGO_BUILD.match(line):
            self.results.findings.append(Finding(build[1], build[1], is_error=True))
        elif died := _CARGO_DIED.match(line):
            what = f"{self.program or 'a program'}: did not complete"
            self.results.findings.append(Finding(what, f"{what} {died[1]}"))
        elif self.failing:
            self._read_message(line)

    def begin(self, program: str) -> None:
        # The line with a program's name comes before the lines of its tests. The tests that were
        # read before this line belong to the previous program.
        self.results.add(self.program, self.tests)
        self.tests, self.program, self.failing = _Tests(), program, ""

    def _read_message(self, line: str) -> None:
        messages = self.tests.messages
        if panic := _CARGO_PANIC.match(line):
            self.place = panic[1]
        elif self.failing not in messages and (self.place or line.startswith("Error: ")):
            messages[self.failing] = ": ".join(filter(None, [self.place, line]))
        elif self.failing in messages and line.strip().startswith(_CARGO_SIDES):
            messages[self.failing] += f", {line.strip()}"

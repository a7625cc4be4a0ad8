"""JUnit XML reports of test runners.

Reports are parsed as a stream, without a tree. A report with a document type is rejected, because a
document type can define entities.
"""

from dataclasses import field
from xml.parsers import expat

from orchestrator.core.gates.findings import Finding, Reading, UnreadableReport, of_tests
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.formatting import one_line
from orchestrator.gates.parsers.node_test_files import ENDED_EARLY, Emptiness, emptiness_of
from orchestrator.gates.parsers.report_json import relative

MOST_TESTS = 200_000
DEEPEST = 50
#: Maximum number of findings for a suite that only counts its failures, without elements for the
#: failed tests.
MOST_UNLISTED = 1000
#: Maximum characters of a name.
LONGEST_NAME = 500
#: Names of elements that report a failed test. ``flakyFailure`` does not count, because the test
#: passed later. ``rerunFailure`` does not count, because it repeats a failure.
_FAILURES = ("failure", "error")
_SUITES = ("testsuite", "testsuites")
#: Pytest's message for a file that it could not load.
_NOT_COLLECTED = "collection failure"
#: Pytest's message for a file that it skipped as a whole.
_SKIPPED_WHOLE = "collection skipped"
#: Maximum number of characters of a failure's text that are read.
_MOST_CHARACTERS = 100_000
#: Values of a test's attribute ``status`` if the test did not run. Some reports have this attribute
#: instead of an element ``skipped``.
_NOT_RUN = ("notrun", "disabled")
#: Class names without meaning. Node's own test runner gives such a name to every test.
_NO_CLASS = ("", "test")


def read(content: bytes, cwd: str = "") -> Reading:
    """Parse a JUnit XML report. Raise UnreadableReport if the report is not valid.

    ``cwd``: the directory in which the tests ran; "" if unknown.
    """
    document = _Document(cwd)
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.StartElementHandler = document.start
    parser.EndElementHandler = document.end
    parser.CharacterDataHandler = document.text
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        # LookupError and ValueError are raised for unknown and unreadable encodings.
        raise UnreadableReport(f"the report is not JUnit XML: {error}") from error
    if not document.is_junit:
        raise UnreadableReport("the report is XML, but not JUnit XML: it has no test suite")
    return document.reading()


def _failure(attributes: dict[str, str]) -> str:
    # Some runners report the exception's type in a separate attribute, and others in the message.
    message = attributes.get("message") or ""
    first_line = message.strip().partition("\n")[0]
    kind = attributes.get("type") or ""
    is_shown = not kind or first_line.startswith(kind)
    return (first_line if is_shown else f"{kind}: {first_line}")[:LONGEST_NAME]


def _refuse(*_: object) -> None:
    raise UnreadableReport("the report has a DOCTYPE declaration, which no test runner writes")


@dataclass(slots=True)
class _Suite:
    name: str
    #: Number of failures and errors, according to the suite's attributes.
    failures: int
    #: Number of findings in the report before the suite began.
    before: int


@dataclass(slots=True)
class _Document:
    cwd: str
    is_junit: bool = False
    depth: int = 0
    suites: list[_Suite] = field(default_factory=list)
    tests: int = 0
    skipped: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    #: Name of the test that is being read.
    name: str = ""
    message: str | None = None
    #: The exception's type and the first line of its message.
    failure: str = ""
    is_skipped: bool = False
    is_error: bool = False
    #: Why the test is a test file in which no test ran; None for any other test.
    emptiness: Emptiness | None = None
    #: Text of the failure's element while this element is being read, otherwise None.
    body: str | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise UnreadableReport(f"the report has more than {DEEPEST} levels of nested elements")
        if tag in _SUITES:
            self._open(tag, attributes)
        elif tag == "testcase":
            self._begin(attributes)
        elif tag in _FAILURES:
            self._fail(tag, attributes)
        elif tag == "skipped":
            self._skip(attributes)

    def end(self, tag: str) -> None:
        self.depth -= 1
        if tag in _FAILURES:
            self._end_failure()
        elif tag == "testcase":
            self._finish()
        elif tag in _SUITES:
            self._close()

    def text(self, data: str) -> None:
        if self.body is not None and len(self.body) < _MOST_CHARACTERS:
            self.body += data

    def _open(self, tag: str, attributes: dict[str, str]) -> None:
        self.is_junit = True
        counts = (attributes.get(each) or "" for each in ("failures", "errors"))
        failures = sum(int(each) for each in counts if each.isdecimal() and len(each) < 10)
        name = attributes.get("name") or "" if tag == "testsuite" else ""
        # Omit an absolute path, because the path differs in each worktree.
        name = "" if name.startswith("/") else name[:LONGEST_NAME]
        self.suites.append(_Suite(name, failures, len(self.findings)))

    def _close(self) -> None:
        # A suite may count failures without listing them.
        suite = self.suites.pop()
        if suite.failures and len(self.findings) == suite.before:
            name = suite.name or "suite"
            finding = Finding(name, f"{name}: failed, but the report names no failed test")
            self.findings += [finding] * min(suite.failures, MOST_UNLISTED)

    def _begin(self, attributes: dict[str, str]) -> None:
        self.tests += 1
        if self.tests > MOST_TESTS:
            raise UnreadableReport(
                f"the report has more than {MOST_TESTS:,} tests; split the gate into several gates"
            )
        place = attributes.get("classname") or attributes.get("file") or ""
        if place in _NO_CLASS:
            place = "::".join(each.name for each in self.suites if each.name) or place
        # Node's test runner names a test by the absolute path of its file if the file calls no
        # test function.
        name = relative(attributes.get("name") or "(no name)", self.cwd)
        self.emptiness = emptiness_of(name, self.cwd) if self.cwd else None
        self.name = f"{place}::{name}"[:LONGEST_NAME] if place else name[:LONGEST_NAME]
        self.message, self.failure, self.is_error = None, "", False
        self.is_skipped = attributes.get("status") in _NOT_RUN

    def _fail(self, tag: str, attributes: dict[str, str]) -> None:
        # A failure outside of a test may mean that a suite could not be loaded.
        message = attributes.get("message") or attributes.get("type") or "failed"
        first_line = one_line(message)[:LONGEST_NAME]
        if self.name and self.message is None:
            self.message, self.is_error, self.body = first_line, tag == "error", ""
            self.failure = _failure(attributes)
        elif not self.name:
            suite = next((each.name for each in reversed(self.suites) if each.name), "suite")
            self.findings.append(Finding(suite, f"{suite}: {first_line}", is_error=True))

    def _skip(self, attributes: dict[str, str]) -> None:
        # pytest reports a skipped module as one test. The last part of this test's name is a prefix
        # of the names of the module's tests.
        self.is_skipped = True
        if attributes.get("message") == _SKIPPED_WHOLE:
            self.name = self.name.rpartition("::")[2]

    def _end_failure(self) -> None:
        # If pytest could not load a file, the failure's message lacks the cause. The last error
        # line of the failure's text has the cause.
        body, self.body = self.body, None
        if body and self.message == _NOT_COLLECTED:
            lines = [each[2:].strip() for each in body.splitlines() if each.startswith("E ")]
            self.message = (lines[-1] if lines else self.message)[:LONGEST_NAME]
            self.failure = self.message if lines else ""

    def _finish(self) -> None:
        if self.message is not None:
            text = f"{self.name}: {self.message}"
            self.findings.append(Finding(self.name, text, self.is_error, self.failure))
        elif self.is_skipped:
            self.skipped.append(self.name)
        elif self.emptiness is Emptiness.ENDED_EARLY:
            self.findings.append(Finding(self.name, f"{self.name}: {ENDED_EARLY}", is_error=True))
        elif self.emptiness is None:
            self.passed.append(self.name)
        self.name = ""

    def reading(self) -> Reading:
        return of_tests(self.findings, self.passed, self.skipped)
